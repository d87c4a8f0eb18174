/** Requests in doubt while others are at the same names and files. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { E } from "../../src/sys/errno.ts";
import { FALLOC_FL_COLLAPSE_RANGE } from "../../src/sys/io.ts";
import {
  FileType,
  OpenFlag,
  OpenResult,
  Rename,
  SetAttr,
  SetXattr,
} from "../../src/wire/constants.ts";
import { type Place, type Request, Rig } from "./doubtrig.ts";
import { OLD_MS, READ_WRITE, Runs, type Where } from "./doubtruns.ts";

const CALLER = [0o022, 0, 0, -1] as const;
const APPEND = OpenFlag.WRITE | OpenFlag.APPEND;
const BLOCK = 4096;
const ENDS = 2;

let rig: Rig;
let counter = 0;
let dir = "";
/** Node of `dir`, a fresh directory for each test. */
let at = 0;

const path = (name: string) => join(dir, name);
const look = (name: string) => rig.lookup(name, at);
const text = (name: string) => readFileSync(path(name), "utf8");

function file(name: string, data = name): string {
  writeFileSync(path(name), data, { mode: 0o600 });
  return path(name);
}

async function open(name: string, flags: number): Promise<number> {
  return (await rig.ok("OPEN", await look(name), flags, 0))[0] as number;
}

beforeAll(async () => {
  rig = new Rig();
  await rig.attach();
});
beforeEach(async () => {
  ({ path: dir, node: at } = await rig.directory(`d${counter++}`));
});
afterAll(() => rig.end());

/** The errno of a request that dies at `place` and is sent again once others did `meanwhile`. */
async function errnoOf(request: Request, place: Place, meanwhile: () => void): Promise<number> {
  await Bun.sleep(OLD_MS);
  expect(await rig.callKilled(request, place)).toBeUndefined();
  meanwhile();
  return (await rig.repeat(request)).errno;
}

const NOT_DONE = "begun";
/** The system call was made and nothing says so. */
const UNTOLD = "before a note";
const NOTED = "after a note";
const DONE = "before the answer is kept";

test("what somebody else made is not ours", async () => {
  const mkdir: Request = ["MKDIR", [at, "d", 0o755, ...CALLER]];
  const makers = [
    () => {
      mkdirSync(path("d"));
      chownSync(path("d"), 1000, 0);
    },
    () => {
      mkdirSync(path("d"));
      chownSync(path("d"), 0, 1000);
    },
    () => mkdirSync(path("d/sub"), { recursive: true }),
    () => symlinkSync("/", path("d")),
    () => file("d"),
  ];
  for (const make of makers) {
    expect(await errnoOf(mkdir, NOT_DONE, make)).toBe(E.EEXIST);
    rmSync(path("d"), { recursive: true });
  }
});

test("what somebody else made is not ours, whatever it is", async () => {
  const fifo: Request = ["MKNOD", [at, "f", FileType.FIFO | 0o644, 0, ...CALLER]];
  expect(await errnoOf(fifo, NOT_DONE, () => file("f", ""))).toBe(E.EEXIST);
  const link: Request = ["SYMLINK", [at, "s", "target", ...CALLER.slice(1)]];
  expect(await errnoOf(link, NOT_DONE, () => symlinkSync("targets", path("s")))).toBe(E.EEXIST);
  const regular: Request = ["MKNOD", [at, "g", 0o644, 0, ...CALLER]];
  expect(await errnoOf(regular, NOT_DONE, () => file("g", "data"))).toBe(E.EEXIST);
});

test("a file that somebody else made is not opened as ours", async () => {
  file("before", "");
  const makers = [
    () => file("f", "data"),
    () => linkSync(path("before"), path("f")),
    () => symlinkSync("before", path("f")),
    () => chownSync(file("f", ""), 1000, 0),
  ];
  for (const make of makers) {
    for (const [flags, errno] of [
      [OpenFlag.EXCLUSIVE, E.EEXIST],
      [0, E.ESTALE],
    ] as const) {
      const request: Request = ["CREATE", [at, "f", READ_WRITE | flags, 0o600, ...CALLER]];
      expect(await errnoOf(request, NOT_DONE, make)).toBe(errno);
      rmSync(path("f"));
    }
  }
});

test("a file that the client made under another name is not the one it is about to make", async () => {
  await rig.ok("CREATE", at, "f", READ_WRITE, 0o600, ...CALLER);
  const request: Request = ["CREATE", [at, "g", READ_WRITE, 0o600, ...CALLER]];
  expect(await rig.callKilled(request, NOT_DONE)).toBeUndefined();
  renameSync(path("f"), path("g"));
  expect((await rig.repeat(request)).errno).toBe(E.ESTALE);
});

test("what is made in a directory that gives its group is ours", async () => {
  chownSync(dir, 0, 1000);
  chmodSync(dir, 0o2770);
  for (const place of [UNTOLD, DONE] as const) {
    const request: Request = ["MKDIR", [at, place, 0o755, ...CALLER]];
    expect(await errnoOf(request, place, () => {})).toBe(0);
    expect(statSync(path(place)).gid).toBe(1000);
  }
});

test("what was made and removed by somebody else is not made again", async () => {
  file("f");
  const requests: Request[] = [
    ["MKDIR", [at, "d", 0o755, ...CALLER]],
    ["SYMLINK", [at, "d", "target", ...CALLER.slice(1)]],
    ["LINK", [await look("f"), at, "d"]],
  ];
  for (const request of requests) {
    expect(await errnoOf(request, DONE, () => rmSync(path("d"), { recursive: true }))).toBe(
      E.ENOENT,
    );
    expect(existsSync(path("d"))).toBe(false);
  }
});

test("what has the name of something removed is somebody else's and stays", async () => {
  file("f");
  await look("f");
  expect(await errnoOf(["UNLINK", [at, "f"]], DONE, () => file("f", "theirs"))).toBe(0);
  expect(text("f")).toBe("theirs");
  mkdirSync(path("d"));
  await look("d");
  expect(await errnoOf(["RMDIR", [at, "d"]], DONE, () => mkdirSync(path("d")))).toBe(0);
  expect(readdirSync(dir).sort()).toEqual(["d", "f"]);
  // Replaced before it was removed: what was meant is gone.
  await look("f");
  const replace = () => renameSync(file("new"), path("f"));
  expect(await errnoOf(["UNLINK", [at, "f"]], NOTED, replace)).toBe(0);
  expect(text("f")).toBe("new");
});

test("what had its name before the removal began is removed, however young", async () => {
  file("f");
  await look("f");
  const replace = () => renameSync(file("new"), path("f"));
  expect(await errnoOf(["UNLINK", [at, "f"]], NOT_DONE, replace)).toBe(0);
  await rig.ok("CREATE", at, "g", READ_WRITE, 0o600, ...CALLER);
  const request: Request = ["UNLINK", [at, "g"]];
  expect(await rig.callKilled(request, NOTED)).toBeUndefined();
  expect((await rig.repeat(request)).errno).toBe(0);
  expect(readdirSync(dir)).toEqual([]);
});

test("a link that somebody else made, or that was there before, is not ours", async () => {
  file("f");
  file("g");
  const f = await look("f");
  expect(await errnoOf(["LINK", [f, at, "h"]], NOT_DONE, () => file("h"))).toBe(E.EEXIST);
  linkSync(path("f"), path("i"));
  expect(await errnoOf(["LINK", [f, at, "i"]], NOT_DONE, () => {})).toBe(E.EEXIST);
});

test("a renamed file's old name may be another's by now, and its new one too", async () => {
  const rename = (flags: number): Request => ["RENAME", [at, "f", at, "g", flags]];
  const prepare = async () => {
    for (const name of readdirSync(dir)) unlinkSync(path(name));
    file("f", "ours");
    await look("f");
  };
  await prepare();
  expect(await errnoOf(rename(0), DONE, () => file("f", "theirs"))).toBe(0);
  expect([text("f"), text("g")]).toEqual(["theirs", "ours"]);
  await prepare();
  expect(await errnoOf(rename(0), DONE, () => unlinkSync(path("g")))).toBe(0);
  expect(readdirSync(dir)).toEqual([]);
  await prepare();
  const replace = () => renameSync(file("h", "theirs"), path("g"));
  expect(await errnoOf(rename(0), DONE, replace)).toBe(0);
  expect([readdirSync(dir), text("g")]).toEqual([["g"], "theirs"]);
  await prepare();
  expect(await errnoOf(rename(Rename.NOREPLACE), NOTED, () => file("g", "theirs"))).toBe(E.EEXIST);
  expect([text("f"), text("g")]).toEqual(["ours", "theirs"]);
});

test("an exchange is not made twice when one of the files is written, or both are unknown", async () => {
  file("f", "was f");
  file("g", "was g");
  const request: Request = ["RENAME", [at, "f", at, "g", Rename.EXCHANGE]];
  expect(await errnoOf(request, DONE, () => appendFileSync(path("f"), "!"))).toBe(0);
  expect([text("f"), text("g")]).toEqual(["was g!", "was f"]);
});

const LINE = Buffer.from("a line that is like no other\n");

/** What a file with "old" has after LINE was appended by a request that died at `place`. */
async function appended(place: Place, meanwhile: () => void, data = LINE): Promise<string> {
  file("log", "old\n");
  const handle = await open("log", APPEND);
  const request: Request = ["WRITE", [handle, 4, 0, 0], data];
  expect(await rig.callKilled(request, place)).toBeUndefined();
  meanwhile();
  const { errno, results } = await rig.repeat(request);
  expect([errno, results]).toEqual([0, [data.length]]);
  return text("log");
}

const append = (data: string | Uint8Array) => () => appendFileSync(path("log"), data);

test("an append is done once among the appends of others", async () => {
  expect(await appended(NOTED, append("theirs\n"))).toBe(`old\ntheirs\n${LINE}`);
  expect(await appended(DONE, append("theirs\n"))).toBe(`old\n${LINE}theirs\n`);
  const both = `theirs\n${LINE}more of theirs\n`;
  expect(await appended(NOTED, append(both))).toBe(`old\n${both}`);
  const many = `${LINE.toString().repeat(100).replaceAll("no other", "any other")}${LINE}`;
  expect(await appended(NOTED, append(many))).toBe(`old\n${many}`);
});

test("what is too short to be told from others' data is looked for in its place alone", async () => {
  const short = Buffer.from("x\n");
  expect(await appended(NOTED, append("theirs x\n"), short)).toBe("old\ntheirs x\nx\n");
  expect(await appended(DONE, append("theirs\n"), short)).toBe("old\nx\ntheirs\n");
});

test("an append that was cut is completed", async () => {
  const data = Buffer.alloc(3 * BLOCK, LINE);
  const cut = data.subarray(0, 2 * BLOCK - 4);
  expect(await appended(NOTED, append(cut), data)).toBe(`old\n${data}`);
  // Whatever ends in the middle of a block is not ours.
  const begins = data.subarray(0, 5);
  expect(await appended(NOTED, append(begins), data)).toBe(`old\n${begins}${data}`);
});

test("an append to a file that was emptied meanwhile is made again", async () => {
  expect(await appended(DONE, () => truncateSync(path("log"), 0))).toBe(`${LINE}`);
});

test("where nobody can tell whether data was moved, nothing is", async () => {
  const data = "a".repeat(BLOCK) + "b".repeat(BLOCK);
  file("f", data);
  const args = [await open("f", READ_WRITE), FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK, 0];
  const write = () => appendFileSync(path("f"), "c");
  expect(await errnoOf(["FALLOCATE", args], NOTED, write)).toBe(E.EIO);
  expect(text("f")).toBe(`${data}c`);
});

test("an attribute that somebody else set is not ours", async () => {
  file("f");
  const f = await look("f");
  const value = Buffer.from("ours");
  const request: Request = ["SETXATTR", [f, "user.a", SetXattr.CREATE, value.length], value];
  const theirs = Buffer.from("theirs");
  expect(await rig.callKilled(request, NOT_DONE)).toBeUndefined();
  const set = Bun.spawnSync(["python3", "-c", SET_XATTR, path("f"), String(theirs)]);
  expect(set.exitCode).toBe(0);
  expect((await rig.repeat(request)).errno).toBe(E.EEXIST);
});
const SET_XATTR = "import os, sys; os.setxattr(sys.argv[1], 'user.a', sys.argv[2].encode())";

test("a client is not told to keep what an answer that it never had told it to drop", async () => {
  file("f", "first");
  const first = await open("f", OpenFlag.READ);
  rig.client.oneway(2, first);
  await rig.ok("PING");
  writeFileSync(path("f"), "second");
  const request: Request = ["OPEN", [await look("f"), OpenFlag.READ, 0]];
  expect(await rig.callKilled(request, DONE)).toBeUndefined();
  const { results } = await rig.repeat(request);
  expect((results[1] as number) & OpenResult.KEEP_CACHE).toBe(0);
});

test("a tmpfs tells as much", async () => {
  const other = new Rig("/dev/shm");
  await other.attach();
  const runs = new Runs(other);
  const value = Buffer.from("value");
  const requests: ((node: number, f: number) => Request)[] = [
    (node) => ["MKDIR", [node, "d", 0o755, ...CALLER]],
    (node) => ["SYMLINK", [node, "d", "target", ...CALLER.slice(1)]],
    (node) => ["CREATE", [node, "d", APPEND, 0o644, ...CALLER]],
    (node, f) => ["LINK", [f, node, "d"]],
    (node) => ["RENAME", [node, "f", node, "d", 0]],
    (_, f) => ["SETXATTR", [f, "user.a", SetXattr.CREATE, value.length], value],
    (node) => ["UNLINK", [node, "f"]],
    (_, f) => ["SETATTR", [f, 0, SetAttr.SIZE, 0, 0, 0, 3, 0, 0, 0, 0]],
  ];
  for (const request of requests) {
    const prepare = async ({ node, file, lookup }: Where) => {
      file("f");
      return request(node, await lookup("f"));
    };
    await runs.everywhere(prepare, ENDS);
  }
  other.end();
});

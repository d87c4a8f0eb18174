/** Several mounts at once: of one server and of two, of the same tree and of others, read-only ones. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { ServerReport } from "../../../src/info/report.ts";
import { run } from "../support/run.ts";
import { eventually } from "./caller.ts";
import { report, World, type WorldMount, type WorldServer } from "./world.ts";

/** What one mount knows of another's changes may be a second old; and a busy machine is slow. */
const SEEN_MS = 10_000;
const EROFS = "Read-only file system";

const world = new World();
const shared = world.make("shared");
const fixed = world.make("fixed");
const other = world.make("other");
let server: WorldServer;
let second: WorldServer;
let one: WorldMount;
let two: WorldMount;
let readOnlyExport: WorldMount;
let readOnlyMount: WorldMount;
let elsewhere: WorldMount;

beforeAll(async () => {
  for (const tree of [shared, fixed, other]) {
    writeFileSync(`${tree}/file`, `in ${tree}`);
    mkdirSync(`${tree}/directory`);
  }
  server = await world.server([shared, `${fixed}:ro`]);
  second = await world.server([other, shared]);
  one = await world.mount(server, shared);
  two = await world.mount(server, shared);
  readOnlyExport = await world.mount(server, fixed);
  readOnlyMount = await world.mount(server, shared, ["ro"]);
  elsewhere = await world.mount(second, other);
});

afterAll(() => world.close());

test("every mount shows its own tree", () => {
  expect(readFileSync(`${one.target}/file`, "utf8")).toBe(`in ${shared}`);
  expect(readFileSync(`${two.target}/file`, "utf8")).toBe(`in ${shared}`);
  expect(readFileSync(`${readOnlyMount.target}/file`, "utf8")).toBe(`in ${shared}`);
  expect(readFileSync(`${readOnlyExport.target}/file`, "utf8")).toBe(`in ${fixed}`);
  expect(readFileSync(`${elsewhere.target}/file`, "utf8")).toBe(`in ${other}`);
  const devices = [one, two, readOnlyExport, readOnlyMount, elsewhere];
  expect(new Set(devices.map(({ target }) => statSync(target).dev)).size).toBe(devices.length);
});

test("servers count their sessions, each mount is a process", async () => {
  for (const [{ pid }, mounts] of [
    [server, [one, two, readOnlyExport, readOnlyMount]],
    [second, [elsewhere]],
  ] as const) {
    let sessions = 0;
    const endMs = performance.now() + SEEN_MS;
    while (sessions !== mounts.length && performance.now() < endMs) {
      // A server counts anew when it has something to do.
      for (const { target } of mounts) readdirSync(target);
      sessions = (await report<ServerReport>(pid)).totals.sessions ?? 0;
      await Bun.sleep(100);
    }
    expect(sessions).toBe(mounts.length);
  }
  expect(await report(two.pid)).toMatchObject({ kind: "mount", target: two.target });
});

const CHANGES = {
  create: "touch new",
  write: "echo more >>file",
  truncate: "truncate -s 1 file",
  mkdir: "mkdir new",
  unlink: "rm file",
  rmdir: "rmdir directory",
  rename: "mv file moved",
  link: "ln file linked",
  symlink: "ln -s file soft",
  mknod: "mkfifo fifo",
  chmod: "chmod 600 file",
  chown: "chown 1:1 file",
  utimes: "touch -d @1 file",
  setxattr: "setfattr -n user.a -v b file",
};

describe.each([
  ["read-only export", () => readOnlyExport, () => fixed],
  ["read-only mount", () => readOnlyMount, () => shared],
] as const)("%s", (_, mount, tree) => {
  test.each(Object.entries(CHANGES))("refuses %s", async (_, command) => {
    const { code, stderr } = await run(["bash", "-c", command], { cwd: mount().target });
    expect(stderr).toContain(EROFS);
    expect(code).not.toBe(0);
    expect(readFileSync(`${tree()}/file`, "utf8")).toBe(`in ${tree()}`);
    expect(readdirSync(tree()).sort()).toEqual(["directory", "file"]);
  });
});

describe("two mounts see each other's", () => {
  const a = (name: string) => `${one.target}/directory/${name}`;
  const b = (name: string) => `${two.target}/directory/${name}`;
  const seen = (condition: () => boolean, what: string) => eventually(condition, what, SEEN_MS);

  test("new and removed files", async () => {
    expect(existsSync(b("new"))).toBe(false);
    writeFileSync(a("new"), "made by one");
    await seen(() => existsSync(b("new")), "the other mount sees the file");
    expect(readFileSync(b("new"), "utf8")).toBe("made by one");
    rmSync(b("new"));
    await seen(() => !existsSync(a("new")), "the first mount misses the file");
  });

  test("new data, by whoever opens the file after it was written", async () => {
    writeFileSync(a("data"), "first");
    await seen(() => existsSync(b("data")), "the other mount sees the file");
    expect(readFileSync(b("data"), "utf8")).toBe("first");
    writeFileSync(a("data"), "other");
    await seen(() => readFileSync(b("data"), "utf8") === "other", "the data of the same size");
    appendFileSync(b("data"), " and more");
    await seen(() => readFileSync(a("data"), "utf8") === "other and more", "the longer data");
  });

  test("attributes and names", async () => {
    writeFileSync(a("attributes"), "");
    await seen(() => existsSync(b("attributes")), "the other mount sees the file");
    chmodSync(a("attributes"), 0o604);
    await seen(() => (statSync(b("attributes")).mode & 0o777) === 0o604, "the mode");
    renameSync(b("attributes"), b("renamed"));
    await seen(() => existsSync(a("renamed")) && !existsSync(a("attributes")), "the name");
    await seen(() => readdirSync(`${one.target}/directory`).includes("renamed"), "the entry");
  });

  test("locks", async () => {
    writeFileSync(a("lock"), "");
    await seen(() => existsSync(b("lock")), "the other mount sees the file");
    const nested = `flock ${a("lock")} flock --nonblock --conflict-exit-code 9 ${b("lock")} true`;
    expect((await run(["bash", "-c", nested])).code).toBe(9);
    // FUSE's RELEASE is not waited for by close(2): the lock may end a moment later.
    expect((await run(["flock", "--timeout", "5", b("lock"), "true"])).code).toBe(0);
  });
});

test("two servers may export one tree", async () => {
  const through = await world.mount(second, shared);
  writeFileSync(`${through.target}/directory/second`, "by the second server");
  const path = `${one.target}/directory/second`;
  await eventually(() => existsSync(path), "the first server's mount sees the file", SEEN_MS);
  expect(readFileSync(path, "utf8")).toBe("by the second server");
  expect(await world.umount(through.target)).toBe(0);
  await world.vanished(through);
});

test("the end of one mount is nothing to the others", async () => {
  expect(await world.umount(two.target)).toBe(0);
  await world.vanished(two);
  process.kill(second.pid, "SIGKILL");
  expect(readFileSync(`${one.target}/file`, "utf8")).toBe(`in ${shared}`);
  expect(readFileSync(`${readOnlyExport.target}/file`, "utf8")).toBe(`in ${fixed}`);
});

/** Records: found again, locked while in use, refused when damaged, full without harm. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { NodeTable } from "../../src/server/nodes.ts";
import { HANDLE, HEADER, LOCK, LOCKS, NODE, RECORD_BYTES } from "../../src/server/record/layout.ts";
import { SessionRecord } from "../../src/server/record/record.ts";
import { recover } from "../../src/server/recovery.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { pwrite } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { MNT_DETACH, MS_NODEV, mount, umount2 } from "../../src/sys/mount.ts";
import { AT_FDCWD, close, O_WRONLY, openat } from "../../src/sys/open.ts";
import { Lock } from "../../src/wire/constants.ts";
import { PATH_MAX } from "../../src/wire/limits.ts";
import { detailsOf, lookup, open, servicesFor, silent, treeOf } from "../support/records.ts";

const directory = mkdtempSync("/dev/shm/qtfs-record-");
const share = join(directory, "share");
const full = join(directory, "full");
const MEGABYTES = 4;

beforeAll(() => {
  mkdirSync(share);
  mkdirSync(full);
  for (let i = 0; i < 5; i++) writeFileSync(join(share, `f${i}`), `${i}`);
  const size = cstring(`size=${MEGABYTES}m`);
  expect(mount(cstring("qtfs"), cstring(full), cstring("tmpfs"), MS_NODEV, size)).toBe(0);
});
afterAll(() => {
  umount2(cstring(full), MNT_DETACH);
  rmSync(directory, { recursive: true });
});

let made = 0;

function create(): SessionRecord & { path: string } {
  const record = SessionRecord.create(join(directory, `record-${made++}`));
  if (typeof record === "number") throw new Error(`No record: ${record}`);
  return record as SessionRecord & { path: string };
}

/** A record of a tree with nodes, handles and locks, whose process is gone. */
function left(): string {
  const record = create();
  const tree = treeOf(record, share);
  for (let i = 0; i < 5; i++) open(tree, lookup(tree, `f${i}`));
  const file = tree.locks.add(2, 0, 9, tree.reach.open(2, O_WRONLY), 1);
  tree.locks.note(file, { start: 0n, end: 9n, type: Lock.WRITE, pid: 1, row: -1 });
  tree.locks.close();
  tree.handles.close();
  tree.nodes.close();
  record.close();
  return record.path;
}

function put(path: string, at: number, word: number): void {
  const region = allocate(4);
  region.view.setUint32(0, word, true);
  const fd = openat(AT_FDCWD, cstring(path), O_WRONLY, 0);
  expect(pwrite(fd, region.address, 4, at)).toBe(4);
  close(fd);
}

/** What becomes of the record at `path`: a sentence, or the number of nodes. */
function recovered(path: string): string | number {
  const record = SessionRecord.open(path);
  if (typeof record === "string") return record;
  const result = recover(record, servicesFor(share), silent);
  if (typeof result === "string") {
    record.close();
    return result;
  }
  const { count } = result.tree.nodes;
  result.tree.close();
  return count;
}

test("a record has few pages, and says what it is of", () => {
  const record = create();
  expect(statSync(record.path).size).toBe(RECORD_BYTES);
  expect(statSync(record.path).mode & 0o777).toBe(0o600);
  new NodeTable(record);
  expect(statSync(record.path).blocks * 512).toBeLessThan(1 << 20);
  expect(record.details).toBeUndefined();
  const longest = detailsOf(`/${"\u0001".repeat(PATH_MAX - 1)}`);
  record.describe(detailsOf(share));
  record.describe(longest);
  expect(record.details).toEqual(longest);
  expect(() => record.describe(detailsOf("\u0001".repeat(20_000)))).toThrow(RangeError);
  expect(record.details).toEqual(longest);
  record.close();
  const again = SessionRecord.open(record.path);
  if (typeof again === "string") throw new Error(again);
  expect(again.details).toEqual(longest);
  expect([again.reopened, again.lives, again.pid]).toEqual([true, 1, process.pid]);
  expect(again.beginLife()).toBe(2);
  again.remove();
  again.close();
  expect(existsSync(record.path)).toBe(false);
});

test("nobody else can have a record that is in use", () => {
  const record = create();
  expect(SessionRecord.open(record.path)).toBe("another process uses it");
  expect(SessionRecord.create(record.path)).toBe(-E.EEXIST);
  record.close();
  const again = SessionRecord.open(record.path);
  expect(again).toBeInstanceOf(SessionRecord);
  if (again instanceof SessionRecord) again.close();
});

test("what the slots keep is there again", () => {
  const record = create();
  record.slots.words[record.slots.words.length - 1] = 4711;
  record.close();
  const again = SessionRecord.open(record.path);
  if (typeof again === "string") throw new Error(again);
  expect(again.slots.words.at(-1)).toBe(4711);
  again.close();
});

test("a sound record is recovered, its file gone with the session", () => {
  const path = left();
  expect(recovered(path)).toBe(6);
  expect(existsSync(path)).toBe(false);
});

const damages: Record<string, [at: number, word: number, says: string]> = {
  magic: [4 * HEADER.magic + 4, 0, "it is no record"],
  version: [4 * HEADER.version, 99, "its version is 99"],
  bounds: [4 * HEADER.bounds + 8, 1, "it was written for other bounds"],
  "rows of nodes": [4 * HEADER.nodeRows, 0xffff_ffff, "its tables are too large"],
  "units of names": [4 * HEADER.nameUnits, 0xffff_ffff, "its tables are too large"],
  details: [36_864 + 40, 0, "it does not say what it is of"],
  "length of the details": [36_864, 0xffff_fff0, "it does not say what it is of"],
  "a hint's directory": [NODE.parent.at + 8, 0x00ff_ffff, "node 2 is none"],
  "a policy": [NODE.madeWith.at + 12, 9, "node 3 is none"],
  "a name's place": [NODE.name.at + 8, 0x0fff_ffff, "a name lies outside"],
  "two names in one place": [NODE.name.at + 8, 2, "names overlap"],
  "a handle's node": [HANDLE.node.at + 4, 0xff_ffff, "handle 1 is none"],
  "a handle's flags": [HANDLE.openFlags.at + 4, 0xffff_ffff, "handle 1 is none"],
  "a lock's type": [LOCKS.at + 4 * LOCK.type, 77, "lock 0 is none"],
  "a lock's end": [LOCKS.at + 4 * LOCK.endHigh, 0xffff_ffff, "lock 0 is none"],
  "the root": [NODE.inoLow.at + 4, 12, "the directory exported there is another"],
};

for (const [what, [at, word, says]] of Object.entries(damages)) {
  test(`a record is refused when damaged: ${what}`, () => {
    const path = left();
    put(path, at, word);
    expect(recovered(path)).toBe(says);
    // Refused again, with nothing left open of it.
    expect(recovered(path)).toBe(says);
    rmSync(path);
  });
}

test("what is no record is refused", () => {
  const path = join(directory, "none");
  expect(recovered(path)).toContain("o such file");
  writeFileSync(path, "");
  expect(recovered(path)).toContain("its size is 0");
  truncateSync(path, RECORD_BYTES);
  expect(recovered(path)).toBe("it is no record");
  expect(recovered(share)).toContain("directory");
});

test("random damage is refused or survived", () => {
  let refused = 0;
  for (let i = 0; i < 60; i++) {
    const path = left();
    const tables = [4 * HEADER.magic, HANDLE.state.at, NODE.reuse.at, NODE.lookups.at, LOCKS.at];
    const at = (tables[i % tables.length] as number) + 4 * ((i * 7) % 12);
    put(path, at, (i * 0x9e37_79b1) >>> 0);
    if (typeof recovered(path) === "string") refused++;
    rmSync(path, { force: true });
  }
  expect(refused).toBeGreaterThan(0);
});

test("a full file system is an error, not the end", () => {
  const record = SessionRecord.create(join(full, "record"));
  if (typeof record === "number") throw new Error(`No record: ${record}`);
  const nodes = new NodeTable(record);
  const id = (n: number) => ({ device: 1, inoHigh: 0, inoLow: n, birth: 0, birthNs: 0 });
  let count = 0;
  while (nodes.intern(id(count + 1), -1, `name of ${count}`) >= 0) count++;
  expect(count).toBeGreaterThan(5_000);
  expect(count).toBeLessThan((MEGABYTES << 20) / 64);
  // What there is goes on, and what is given back can be had again.
  for (let n = 1; n <= count; n++) expect(nodes.find(id(n))).toBeGreaterThan(0);
  const row = nodes.find(id(77));
  nodes.setHint(row, -1, "n".repeat(200));
  nodes.forget(row, 1);
  nodes.drop(row);
  expect(nodes.intern(id(count + 1), -1, "again")).toBe(row);
  expect(nodes.nameOf(row)).toBe("again");
  // Nor is there room for one more record, or anything left of it.
  writeFileSync(join(full, "rest"), Buffer.alloc(0));
  for (let i = 0; i < MEGABYTES * 16; i++) {
    try {
      writeFileSync(join(full, "rest"), Buffer.alloc(65_536), { flag: "a" });
    } catch {
      break;
    }
  }
  expect(SessionRecord.create(join(full, "other"))).toBe(-E.ENOSPC);
  expect(readdirSync(full).sort()).toEqual(["record", "rest"]);
  nodes.close();
  record.close();
  expect(SessionRecord.open(join(full, "record"))).toBeInstanceOf(SessionRecord);
});

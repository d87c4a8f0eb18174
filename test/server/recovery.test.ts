/** Going on with the session of a process that was killed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HandleFlag } from "../../src/server/handles.ts";
import { NO_ROW } from "../../src/server/lockrows.ts";
import { LockTable } from "../../src/server/locks.ts";
import { putFlock } from "../../src/server/ofdlock.ts";
import { SessionRecord } from "../../src/server/record/record.ts";
import { type Recovered, recover } from "../../src/server/recovery.ts";
import type { Tree } from "../../src/server/tree.ts";
import { E } from "../../src/sys/errno.ts";
import { pwrite } from "../../src/sys/io.ts";
import {
  F_OFD_SETLK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
  flock,
  LOCK_EX,
  LOCK_NB,
} from "../../src/sys/lock.ts";
import { allocate } from "../../src/sys/memory.ts";
import { O_CLOEXEC, O_RDWR } from "../../src/sys/open.ts";
import { Lock, OpenFlag, ROOT_NODE } from "../../src/wire/constants.ts";
import { random, seedFor } from "../support/random.ts";
import {
  FILES,
  inodeOf,
  lookup,
  OPENED,
  open,
  READ_WRITE,
  servicesFor,
  silent,
  treeOf,
} from "../support/records.ts";

const END = 0x7fff_ffff_ffff_ffffn;
const records = mkdtempSync("/dev/shm/qtfs-recovery-");
const share = mkdtempSync(join(tmpdir(), "qtfs-recovery-"));
const elsewhere = mkdtempSync(join(tmpdir(), "qtfs-recovery-"));
const scratch = allocate(FLOCK_STRUCT_SIZE);

afterAll(() => {
  for (const path of [records, share, elsewhere]) rmSync(path, { recursive: true });
});
beforeAll(() => mkdirSync(join(share, "directory")));

let made = 0;

function create(): SessionRecord {
  const record = SessionRecord.create(join(records, `record-${made++}`));
  if (typeof record === "number") throw new Error(`No record: ${record}`);
  return record;
}

/** What the kernel does for a process that was killed: all is closed, the record stays. */
function die(tree: Tree): string {
  tree.locks.close();
  tree.handles.close();
  tree.reach.close();
  tree.nodes.close();
  tree.record.close();
  return tree.record.path as string;
}

function recovered(path: string, root = share): Recovered {
  const record = SessionRecord.open(path);
  if (typeof record === "string") throw new Error(record);
  const result = recover(record, servicesFor(root), silent);
  if (typeof result === "string") throw new Error(result);
  return result;
}

function counts({ reopened, stale, lost, locksReclaimed, locksLost }: Recovered): number[] {
  return [reopened, stale, lost, locksReclaimed, locksLost];
}

/** A file of the share, with its name as contents. */
function file(name: string): string {
  writeFileSync(join(share, name), name);
  return join(share, name);
}

function lockRange(tree: Tree, handle: number, owner: number, start: bigint, end: bigint): void {
  const node = tree.handles.node[handle] as number;
  const known = tree.locks.get(LockTable.key(node, 0, owner));
  const fd = known?.fd ?? tree.reach.open(node, O_RDWR | O_CLOEXEC);
  const lock = known ?? tree.locks.add(node, 0, owner, fd, handle);
  putFlock(scratch, { type: Lock.WRITE, start, end });
  expect(fcntlLock(fd, F_OFD_SETLK, scratch.address)).toBe(0);
  expect(tree.locks.note(lock, { type: Lock.WRITE, start, end, pid: 9, row: NO_ROW })).toBe(true);
}

/** Whether a range of `path` is locked, as another process sees it. */
function isLocked(path: string, start: number, end: number): boolean {
  const script = `import fcntl, sys
f = open(sys.argv[1], "r+")
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, ${end - start + 1}, ${start})
except BlockingIOError: sys.exit(9)`;
  return spawnSync("python3", ["-c", script, path]).status === 9;
}

test("open files are open again, as they were opened", () => {
  const path = file("plain");
  const tree = treeOf(create(), share);
  const row = lookup(tree, "plain");
  const high = tree.nodes.high(row);
  const writes = open(tree, row);
  const appends = open(tree, row, OpenFlag.WRITE | OpenFlag.APPEND | OpenFlag.TRUNCATE);
  const reads = open(tree, row, OpenFlag.READ);
  writeFileSync(path, "12345678");
  const result = recovered(die(tree));
  expect(counts(result)).toEqual([3, 0, 0, 0, 0]);
  const { handles, nodes, record } = result.tree;
  expect(nodes.row(high, row)).toBe(row);
  expect(record.lives).toBe(2);
  scratch.bytes.latin1Write("ab", 0);
  expect(pwrite(handles.fd[writes] as number, scratch.address, 2, 0)).toBe(2);
  expect(pwrite(handles.fd[appends] as number, scratch.address, 2, 0)).toBe(2);
  expect(pwrite(handles.fd[reads] as number, scratch.address, 2, 0)).toBe(-E.EBADF);
  expect(Bun.file(path).text()).resolves.toBe("ab345678ab");
  for (const handle of [writes, appends, reads]) result.tree.release(handle);
  expect(handles.count).toBe(0);
  const again = open(result.tree, row);
  expect([writes, appends, reads]).toContain(again);
  result.tree.close();
});

test("files of the kernel are open again for who opened them, and for nobody more", () => {
  const NOBODY = 65_534;
  const sleeper = spawn("sleep", ["1000"]);
  const tree = treeOf(create(), "/proc");
  const directory = lookup(tree, String(sleeper.pid));
  const openAs = (name: string, uid: number) => {
    const row = lookup(tree, name, directory);
    const fd = tree.reach.open(row, O_CLOEXEC);
    return tree.handles.add(fd, row, HandleFlag.LIVE, OpenFlag.READ, uid, uid);
  };
  const status = openAs("status", NOBODY);
  const maps = openAs("maps", 0);
  const others = openAs("maps", NOBODY);
  const result = recovered(die(tree), "/proc");
  expect(counts(result)).toEqual([2, 0, 1, 0, 0]);
  const { handles } = result.tree;
  expect([status, maps, others].map((handle) => handles.uid[handle])).toEqual([NOBODY, 0, NOBODY]);
  expect(handles.fd[others]).toBe(-E.EIO);
  sleeper.kill();
});

test("a file that the HOST moved, even out of the export, is found by its handle", () => {
  const paths = [file("renamed"), file("moved")];
  const tree = treeOf(create(), share);
  const open2 = ["renamed", "moved"].map((name) => open(tree, lookup(tree, name)));
  const inodes = paths.map((path) => statSync(path).ino);
  const path = die(tree);
  renameSync(join(share, "renamed"), join(share, "directory", "now"));
  renameSync(join(share, "moved"), join(elsewhere, "out"));
  file("renamed");
  const result = recovered(path);
  expect(counts(result)).toEqual([2, 0, 0, 0, 0]);
  expect(open2.map((handle) => inodeOf(result.tree.handles.fd[handle]))).toEqual(inodes);
  result.tree.close();
});

test("a file that is gone is stale: its handle can only be released", () => {
  file("gone");
  const other = file("other");
  const tree = treeOf(create(), share);
  const row = lookup(tree, "gone");
  const handle = open(tree, row);
  tree.handles.flock[handle] = Lock.WRITE + 1;
  lockRange(tree, handle, 1, 0n, 9n);
  const path = die(tree);
  unlinkSync(join(share, "gone"));
  // Its name, and most likely its number, are another file's now.
  linkSync(other, join(share, "gone"));
  const result = recovered(path);
  expect(counts(result)).toEqual([0, 1, 0, 0, 2]);
  const { handles, nodes, reach } = result.tree;
  expect(handles.has(handle)).toBe(true);
  expect(handles.fd[handle]).toBe(-E.ESTALE);
  expect(reach.fd(row)).toBe(-E.ESTALE);
  // The same again: what is stale stays so.
  const third = recovered(die(result.tree));
  expect(counts(third)).toEqual([0, 0, 0, 0, 0]);
  expect(third.tree.handles.fd[handle]).toBe(-E.ESTALE);
  third.tree.forget(row, 1);
  expect(third.tree.nodes.count).toBe(2);
  third.tree.release(handle);
  expect(third.tree.handles.has(handle)).toBe(false);
  expect(third.tree.nodes.count).toBe(1);
  expect(nodes.count).toBe(2);
  third.tree.close();
});

test("locks are held again, and are the owners' own", () => {
  const path = file("locked");
  const tree = treeOf(create(), share);
  const row = lookup(tree, "locked");
  const [one, other] = [open(tree, row), open(tree, row)];
  lockRange(tree, one, 1, 0n, 9n);
  lockRange(tree, one, 1, 20n, 29n);
  lockRange(tree, other, 2, 2n ** 60n + 1n, END);
  expect(flock(tree.handles.fd[one] as number, LOCK_EX | LOCK_NB)).toBe(0);
  tree.handles.flock[one] = Lock.WRITE + 1;
  const left = die(tree);
  expect(isLocked(path, 0, 0)).toBe(false);
  const result = recovered(left);
  expect(counts(result)).toEqual([2, 0, 0, 4, 0]);
  expect([isLocked(path, 9, 9), isLocked(path, 10, 19), isLocked(path, 20, 20)]).toEqual([
    true,
    false,
    true,
  ]);
  const { handles, locks } = result.tree;
  expect(flock(handles.fd[other] as number, LOCK_EX | LOCK_NB)).toBe(-E.EAGAIN);
  expect(flock(handles.fd[one] as number, LOCK_EX | LOCK_NB)).toBe(0);
  expect(locks.get(LockTable.key(row, 0, 2))?.ranges).toEqual([
    { start: 2n ** 60n + 1n, end: END, type: Lock.WRITE, pid: 9, row: expect.any(Number) },
  ]);
  result.tree.release(one);
  expect(isLocked(path, 0, 100)).toBe(false);
  expect(locks.size).toBe(1);
  locks.drop(LockTable.key(row, 0, 2));
  expect(locks.rows.all()).toEqual([]);
  result.tree.close();
});

test("a lock that somebody else took meanwhile spoils its handle alone", () => {
  file("stolen");
  const tree = treeOf(create(), share);
  const row = lookup(tree, "stolen");
  const [robbed, flocked, free] = [open(tree, row), open(tree, row), open(tree, row)];
  lockRange(tree, robbed, 1, 0n, 9n);
  lockRange(tree, robbed, 1, 20n, 29n);
  tree.handles.flock[flocked] = Lock.READ + 1;
  const left = die(tree);
  const thief = treeOf(create(), share);
  const stolen = open(thief, lookup(thief, "stolen"));
  lockRange(thief, stolen, 5, 5n, 5n);
  expect(flock(thief.handles.fd[stolen] as number, LOCK_EX | LOCK_NB)).toBe(0);
  const result = recovered(left);
  const { handles, locks, reach } = result.tree;
  expect(counts(result)).toEqual([1, 0, 2, 0, 3]);
  expect([handles.fd[robbed], handles.fd[flocked]]).toEqual([-E.EIO, -E.EIO]);
  expect(inodeOf(handles.fd[free])).toBe(statSync(join(share, "stolen")).ino);
  expect(locks.rows.all()).toEqual([]);
  // The node is within reach by the handle that is left.
  unlinkSync(join(share, "stolen"));
  expect(reach.stat(row)).toBe(0);
  result.tree.release(robbed);
  expect(reach.stat(row)).toBe(0);
  result.tree.release(free);
  result.tree.release(flocked);
  expect(handles.count).toBe(0);
  expect(reach.stat(row)).toBe(-E.ESTALE);
  thief.close();
  result.tree.close();
});

test("a record is of no use where its directory is exported no more, or is another", () => {
  const tree = treeOf(create(), share);
  const path = die(tree);
  const attempt = (root: string, readOnly: boolean) => {
    const record = SessionRecord.open(path);
    if (typeof record === "string") throw new Error(record);
    const result = recover(record, servicesFor(root, readOnly), silent);
    record.close();
    return result;
  };
  expect(attempt(elsewhere, false)).toBe(`${share} is exported no more`);
  expect(attempt(share, true)).toBe(`${share} is exported in another way`);
  const descriptors = readdirSync("/proc/self/fd").length;
  renameSync(share, `${share}-before`);
  mkdirSync(share);
  expect(attempt(share, false)).toBe("the directory exported there is another");
  rmSync(share, { recursive: true });
  renameSync(`${share}-before`, share);
  expect(readdirSync("/proc/self/fd").length).toBe(descriptors);
  recovered(path).tree.close();
});

interface Line {
  begins?: string;
  also?: string;
  key?: string;
  file?: number;
  row?: number;
  high?: number;
  lookups?: number;
  name?: string;
  flock?: number;
  node?: number;
  ranges?: string[];
}

/** Runs the child until it is killed; its lines, the last one perhaps of a change not done. */
async function runChild(record: string, directory: string, seed: number): Promise<Line[]> {
  const script = join(import.meta.dir, "recordchild.ts");
  const child = spawn(process.execPath, [script, record, directory, `${seed}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  const ended = new Promise((resolve) => child.on("close", resolve));
  const lifeMs = 10 + random(seed + 1).below(700);
  let killing = false;
  child.stdout.on("data", (chunk) => {
    output += chunk;
    if (killing) return;
    killing = true;
    setTimeout(() => child.kill("SIGKILL"), lifeMs);
  });
  await ended;
  expect(child.signalCode).toBe("SIGKILL");
  const whole = output.slice(0, output.lastIndexOf("\n"));
  return whole.split("\n").map((line) => JSON.parse(line));
}

/** What was said last of each thing, but of those that a change was under way of. */
function known(lines: Line[]): Map<string, Line> {
  const result = new Map<string, Line>();
  for (const line of lines) {
    for (const begun of [line.begins, line.also]) if (begun !== undefined) result.delete(begun);
    if (line.key !== undefined) result.set(line.key, line);
  }
  return result;
}

function checkAll({ tree }: Recovered, things: Map<string, Line>, directory: string): void {
  const { handles, locks, nodes, reach } = tree;
  for (const [key, thing] of things) {
    const [kind, number] = key.split(" ");
    const row = thing.row ?? 0;
    if (kind === "file" && row !== 0) {
      expect(nodes.row(thing.high as number, row)).toBe(row);
      expect(nodes.lookups[row]).toBe(thing.lookups as number);
      expect(nodes.nameOf(row)).toBe(thing.name as string);
      expect(reach.stat(row)).toBe(0);
    } else if (kind === "handle" && thing.file !== -1) {
      const handle = Number(number);
      expect(handles.node[handle]).toBe(row);
      expect(handles.flock[handle]).toBe(thing.flock as number);
      const name = things.get(`file ${thing.file}`)?.name;
      if (name === undefined) continue;
      expect(inodeOf(handles.fd[handle])).toBe(statSync(join(directory, name)).ino);
    } else if (kind === "handle") {
      expect(handles.has(Number(number))).toBe(false);
    } else if (kind === "locks" && thing.node !== undefined) {
      const held = locks.get(LockTable.key(thing.node, 0xffff_0000, Number(number)))?.ranges ?? [];
      const ranges = held.map(({ start, end, type }) => `${start} ${end} ${type}`).sort();
      expect(ranges).toEqual(thing.ranges as string[]);
    }
  }
}

test("whatever was acknowledged when the process was killed is there", async () => {
  const seed = seedFor("kill");
  let changes = 0;
  for (let round = 0; round < 12; round++) {
    const directory = mkdtempSync(join(share, "kill-"));
    for (let i = 0; i < FILES; i++) writeFileSync(join(directory, `${i}`), "");
    const record = join(records, `killed-${round}`);
    const lines = await runChild(record, directory, seed + round);
    changes += lines.length;
    const result = recovered(record, directory);
    expect([result.stale, result.lost, result.locksLost]).toEqual([0, 0, 0]);
    checkAll(result, known(lines), directory);
    // It goes on from there.
    const row = lookup(result.tree, readdirSync(directory)[0] as string);
    expect(row).toBeGreaterThan(ROOT_NODE);
    const handle = open(result.tree, row, READ_WRITE);
    result.tree.release(handle);
    result.tree.close();
    rmSync(directory, { recursive: true });
  }
  expect(changes).toBeGreaterThan(12 * OPENED);
}, 110_000);

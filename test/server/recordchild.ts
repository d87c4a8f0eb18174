/**
 * Changes a tree in a record until it is killed. Arguments: the record's path,
 * the directory, a seed. Before each change a line says what it concerns, after
 * it a line says what is so now: the parent finds that in the record.
 */
import { writeSync } from "node:fs";
import { HandleState } from "../../src/server/handles.ts";
import { NO_ROW } from "../../src/server/lockrows.ts";
import { LockTable } from "../../src/server/locks.ts";
import { putFlock } from "../../src/server/ofdlock.ts";
import { SessionRecord } from "../../src/server/record/record.ts";
import { cstring } from "../../src/sys/cstring.ts";
import {
  F_OFD_SETLK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
} from "../../src/sys/lock.ts";
import { allocate } from "../../src/sys/memory.ts";
import { O_CLOEXEC, O_RDWR } from "../../src/sys/open.ts";
import { renameat2 } from "../../src/sys/tree.ts";
import { Lock, ROOT_NODE } from "../../src/wire/constants.ts";
import { random } from "../support/random.ts";
import { FILES, lookup, OPENED, open, treeOf } from "../support/records.ts";

const [path = "", share = "", seed = "1"] = process.argv.slice(2);
const { below } = random(Number(seed));
const record = SessionRecord.create(path);
if (typeof record === "number") throw new Error(`No record: ${record}`);
const tree = treeOf(record, share);
const { handles, locks, nodes, reach } = tree;
const scratch = allocate(FLOCK_STRUCT_SIZE);
const names = Array.from({ length: FILES }, (_, i) => `${i}`);
const opened: { handle: number; file: number }[] = [];

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

/** Node of a file, looked up when need be. */
function rowOf(file: number): number {
  const row = lookup(tree, names[file] as string);
  if (row < 0) throw new Error(`No ${names[file]}: ${row}`);
  return row;
}

function sayFile(file: number, row: number): void {
  const lookups = nodes.lookups[row] as number;
  say({ key: `file ${file}`, row, high: nodes.high(row), lookups, name: names[file] });
}

function touch(file: number): void {
  say({ begins: `file ${file}` });
  sayFile(file, rowOf(file));
}

function forget(file: number): void {
  say({ begins: `file ${file}` });
  const row = rowOf(file);
  tree.forget(row, nodes.lookups[row] as number);
  say({ key: `file ${file}`, row: 0 });
}

function rename(file: number): void {
  say({ begins: `file ${file}` });
  const row = rowOf(file);
  const name = `${file}${"x".repeat(1 + below(120))}`;
  const fd = reach.fd(ROOT_NODE);
  if (name === names[file]) return;
  if (renameat2(fd, cstring(names[file] as string), fd, cstring(name), 0) !== 0)
    throw new Error(name);
  names[file] = name;
  nodes.setHint(row, ROOT_NODE, name);
  sayFile(file, row);
}

function openOne(): void {
  const file = below(OPENED);
  say({ begins: `file ${file}` });
  const row = rowOf(file);
  sayFile(file, row);
  const handle = open(tree, row);
  opened.push({ handle, file });
  say({ key: `handle ${handle}`, file, row, flock: 0, state: HandleState.OPEN });
}

function release(): void {
  const [one] = opened.splice(below(opened.length), 1);
  if (one === undefined) return;
  say({ begins: `handle ${one.handle}`, also: `locks ${one.handle}` });
  tree.release(one.handle);
  say({ key: `handle ${one.handle}`, file: -1 });
  say({ key: `locks ${one.handle}`, ranges: [] });
}

function lockWhole(): void {
  const one = opened[below(opened.length)];
  if (one === undefined) return;
  const { handle, file } = one;
  const row = handles.node[handle];
  say({ begins: `handle ${handle}` });
  const type = below(2);
  const result = flock(
    handles.fd[handle] as number,
    (type === Lock.WRITE ? LOCK_EX : LOCK_SH) | LOCK_NB,
  );
  handles.flock[handle] = result === 0 ? type + 1 : 0;
  say({ key: `handle ${handle}`, file, row, flock: handles.flock[handle] });
}

/** Each handle is an owner of its own, whose high half is beyond 31 bits. */
function lockRange(): void {
  const one = opened[below(opened.length)];
  if (one === undefined) return;
  const { handle } = one;
  const node = handles.node[handle] as number;
  const key = LockTable.key(node, 0xffff_0000, handle);
  say({ begins: `locks ${handle}` });
  const file =
    locks.get(key) ??
    locks.add(node, 0xffff_0000, handle, reach.open(node, O_RDWR | O_CLOEXEC), handle);
  const start = 2n ** 62n + BigInt(below(50));
  const range = { type: below(3), start, end: start + BigInt(below(20)) };
  putFlock(scratch, range);
  if (fcntlLock(file.fd, F_OFD_SETLK, scratch.address) === 0) {
    locks.note(file, { ...range, pid: 77, row: NO_ROW });
  }
  const ranges = file.ranges.map(({ start: from, end, type }) => `${from} ${end} ${type}`).sort();
  say({ key: `locks ${handle}`, node, ranges });
}

/** A change at random. */
function change(): void {
  const which = below(10);
  if (which < 2) touch(below(FILES));
  else if (which === 2) rename(below(FILES));
  else if (which === 3) forget(OPENED + below(FILES - OPENED));
  else if (which < 6 && opened.length < 400) openOne();
  else if (which === 6) release();
  else if (which === 7) lockWhole();
  else lockRange();
}

say({ ready: true });
while (true) change();

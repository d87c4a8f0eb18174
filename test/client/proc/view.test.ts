/** The view of -o proc, with the test as kernel and server: what is answered here, and by which nodes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { ProcView } from "../../../src/client/proc/view.ts";
import { Stall } from "../../../src/client/stall.ts";
import { ATTR, DIRENT, ENTRY_OUT, Opcode, READ_IN } from "../../../src/fuse/protocol.ts";
import { E } from "../../../src/sys/errno.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { FileType } from "../../../src/wire/constants.ts";
import { Op } from "../../../src/wire/ops.ts";
import { Writer } from "../../../src/wire/writer.ts";
import { Rig } from "../rig.ts";

const OWN = String(process.pid);
const DIRECTORY = 4;
let rig: Rig;
let warnings: string[];

/** The view of a process that has just begun, or taken the mount over: they are the same. */
function newView(): ProcView {
  return new ProcView({ device: undefined, log: (_, text) => warnings.push(text) });
}

beforeEach(() => {
  warnings = [];
  rig = new Rig();
  rig.client.view = newView();
});
afterEach(() => {
  rig.close();
});

const name = (text: string) => Buffer.from(`${text}\0`);

/** The node and mode that a LOOKUP in the root is answered with, without the server. */
function look(text: string): { node: bigint; mode: number } {
  rig.request(Opcode.LOOKUP, name(text));
  const told = rig.told();
  if (told === undefined || told.error !== 0) throw new Error(`${text}: ${told?.error}`);
  expect(told.body.readBigUInt64LE(ENTRY_OUT.entry_valid)).toBe(0n);
  const mode = told.body.readUInt32LE(ENTRY_OUT.attr + ATTR.mode);
  return { node: told.body.readBigUInt64LE(ENTRY_OUT.nodeid), mode };
}

function text(node: bigint, pid = process.pid): string | number {
  rig.request(Opcode.READLINK, undefined, { node, pid });
  const told = rig.told();
  return told === undefined || told.error !== 0 ? (told?.error ?? 0) : told.body.toString();
}

test("self, thread-self and the caller's number are links, answered without the server", () => {
  const [self, thread, own] = ["self", "thread-self", OWN].map(look);
  for (const link of [self, thread, own]) {
    expect((link?.mode ?? 0) & FileType.MASK).toBe(FileType.SYMLINK);
  }
  expect(text(self?.node ?? 0n)).toBe(OWN);
  expect(text(thread?.node ?? 0n)).toBe(`${OWN}/task/${OWN}`);
  expect(text(own?.node ?? 0n)).toBe(`/proc/${OWN}`);
  expect(rig.received()).toEqual([]);
  expect(warnings).toEqual([]);
});

test("other names, numbers of others, and callers without a number are the server's", () => {
  const names = ["version", "1", "0", "01", "4194304", "99999999", "selfish"];
  for (const one of names) rig.request(Opcode.LOOKUP, name(one));
  for (const one of ["self", OWN]) rig.request(Opcode.LOOKUP, name(one), { pid: 0 });
  // In another directory these are names like others.
  rig.request(Opcode.LOOKUP, name("self"), { node: 7 });
  expect(rig.told()).toBeUndefined();
  const asked = rig.received().map(({ items }) => items[2]);
  expect(asked).toEqual(Array(names.length + 3).fill(Op.LOOKUP));
});

test("a process that takes over knows the nodes that the one before made", () => {
  const { node } = look(OWN);
  rig.client.view = newView();
  expect(text(node)).toBe(`/proc/${OWN}`);
  rig.request(Opcode.GETATTR, Buffer.alloc(16), { node });
  expect(rig.told()?.error).toBe(0);
});

test("nothing of them is told to the server, and they take no change", () => {
  const { node } = look("self");
  const lookups = Buffer.alloc(8);
  lookups.writeBigUInt64LE(1n);
  rig.request(Opcode.FORGET, lookups, { node });
  rig.client.sendOwed();
  rig.request(Opcode.SETATTR, Buffer.alloc(88), { node });
  expect(rig.told()?.error).toBe(-E.EPERM);
  rig.request(Opcode.GETXATTR, Buffer.concat([Buffer.alloc(8), name("user.x")]), { node });
  expect(rig.told()?.error).toBe(-E.ENODATA);
  expect(rig.received()).toEqual([]);
});

test("a process that is gone is nobody's", async () => {
  const child = Bun.spawn(["true"]);
  const number = String(child.pid);
  await child.exited;
  const { node } = look(OWN);
  const gone = node + BigInt(child.pid - process.pid);
  expect(text(gone, child.pid)).toBe(-E.ENOENT);
  rig.request(Opcode.GETATTR, Buffer.alloc(16), { node: gone });
  expect(rig.told()?.error).toBe(-E.ENOENT);
  rig.request(Opcode.LOOKUP, name(number));
  expect(rig.received().map(({ items }) => items[2])).toEqual([Op.LOOKUP]);
});

test("they are served while the server takes nothing", () => {
  const stall = new Stall(rig.client);
  const concerned = (one: string) => {
    rig.ask(Opcode.LOOKUP, name(one));
    rig.client.fuse.next();
    return stall.concerned;
  };
  expect([concerned("self"), concerned(OWN), concerned("version")]).toEqual([false, false, true]);
});

/** struct fuse_read_in */
function reading(offset: bigint): Buffer {
  const body = Buffer.alloc(40);
  body.writeUInt32LE(1, READ_IN.fh);
  body.writeBigUInt64LE(offset, READ_IN.offset);
  body.writeUInt32LE(4096, READ_IN.size);
  return body;
}

/** Names, types and the last cookie of the entries that the kernel is told. */
function entries(): { names: [string, number][]; cookie: bigint } {
  const { body } = rig.told() ?? { body: Buffer.alloc(0) };
  const names: [string, number][] = [];
  let cookie = 0n;
  for (let at = 0; at < body.length; ) {
    const end = at + DIRENT.name + body.readUInt32LE(at + DIRENT.namelen);
    names.push([
      body.toString("latin1", at + DIRENT.name, end),
      body.readUInt32LE(at + DIRENT.type),
    ]);
    cookie = body.readBigUInt64LE(at + DIRENT.off);
    at = (end + 7) & ~7;
  }
  return { names, cookie };
}

/** Answers the READDIR that the server got with `names`, and that these are all. */
function answerWith(names: string[]): void {
  const [request] = rig.received();
  const w = new Writer(allocate(4096));
  names.forEach((one, i) => {
    w.array(4);
    w.uint64(0, i + 1);
    w.uint(DIRECTORY);
    const bytes = Buffer.from(one);
    w.blob(bytes, 0, bytes.length);
    w.uint64(0, i + 100);
  });
  if (request === undefined) throw new Error("The server was not asked");
  rig.reply(request, 0, [names.length, 1], Buffer.from(w.bytes.subarray(0, w.at)));
  rig.settle();
}

test("the listing is the HOST's and, behind it, the caller's own, each number once", () => {
  rig.request(Opcode.READDIR, reading(0n));
  answerWith(["version", "1", "self"]);
  const host = entries();
  expect(host.names).toEqual([
    ["version", DIRECTORY],
    ["1", DIRECTORY],
    ["self", 0],
  ]);
  rig.request(Opcode.READDIR, reading(host.cookie));
  const own = entries();
  expect(own.names).toEqual([[OWN, 0]]);
  rig.request(Opcode.READDIR, reading(own.cookie));
  expect(rig.told()?.body.length).toBe(0);
  expect(rig.received()).toEqual([]);
});

test("an own number that the HOST has, too, stays where the HOST has it", () => {
  rig.request(Opcode.READDIR, reading(0n));
  answerWith([OWN, "2"]);
  const { names, cookie } = entries();
  expect(names).toEqual([
    [OWN, 0],
    ["2", DIRECTORY],
  ]);
  rig.request(Opcode.READDIR, reading(cookie));
  expect(rig.told()?.body.length).toBe(0);
});

test("a HOST that lists nothing does not end the listing", () => {
  rig.request(Opcode.READDIR, reading(0n));
  answerWith([]);
  expect(entries().names).toEqual([[OWN, 0]]);
});

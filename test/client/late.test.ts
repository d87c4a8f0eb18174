/** What the kernel is told of changes whose callers were told that they failed. */
import { afterEach, expect, test } from "bun:test";
import { tellLate } from "../../src/client/late.ts";
import { NoticeKind, NoticeQueue } from "../../src/client/noticequeue.ts";
import { State } from "../../src/client/pending.ts";
import { Opcode } from "../../src/fuse/protocol.ts";
import { Rig } from "./rig.ts";

const PARENT = 5;
const rigs: Rig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
});

/** The notices, `ENTRY node name` or `DATA node`, after a request whose success comes late. */
function notices(opcode: number, body: Buffer, count: number): string[] {
  const rig = new Rig();
  rigs.push(rig);
  rig.request(opcode, body, { node: PARENT });
  rig.client.pending.state[0] = State.ABANDONED;
  const queue = new NoticeQueue();
  tellLate(rig.client, 0, queue);
  queue.put({ kind: NoticeKind.NAMES, high: 0, low: 0, name: "" });
  const told = Array.from({ length: count }, () => queue.take());
  expect(queue.take()?.kind).toBe(NoticeKind.NAMES);
  return told.map((notice) => {
    if (notice === undefined) return "nothing";
    const { kind, low, name } = notice;
    return kind === NoticeKind.ENTRY ? `ENTRY ${low} ${name}` : `DATA ${low}`;
  });
}

const text = (...parts: (number | string)[]) =>
  Buffer.concat(
    parts.map((part) => (typeof part === "number" ? Buffer.alloc(part) : Buffer.from(`${part}\0`))),
  );

function node(at: number, bytes: Buffer, number: number): Buffer {
  bytes.writeUInt32LE(number, at);
  return bytes;
}

test.each<[string, number, Buffer, string[]]>([
  ["MKNOD", Opcode.MKNOD, text(16, "made"), ["ENTRY 5 made", "DATA 5"]],
  ["MKDIR", Opcode.MKDIR, text(8, "made"), ["ENTRY 5 made", "DATA 5"]],
  ["SYMLINK", Opcode.SYMLINK, text("made", "target"), ["ENTRY 5 made", "DATA 5"]],
  ["CREATE", Opcode.CREATE, text(16, "made"), ["ENTRY 5 made", "DATA 5"]],
  ["UNLINK", Opcode.UNLINK, text("gone"), ["ENTRY 5 gone", "DATA 5"]],
  ["RMDIR", Opcode.RMDIR, text("gone"), ["ENTRY 5 gone", "DATA 5"]],
  ["LINK", Opcode.LINK, node(0, text(8, "made"), 7), ["ENTRY 5 made", "DATA 5", "DATA 7"]],
  [
    "RENAME2",
    Opcode.RENAME2,
    node(0, text(16, "old", "new"), 6),
    ["ENTRY 5 old", "DATA 5", "ENTRY 6 new", "DATA 6"],
  ],
  ["SETATTR", Opcode.SETATTR, text(88), ["DATA 5"]],
  ["WRITE", Opcode.WRITE, text(40), ["DATA 5"]],
  ["FSYNC, which changes nothing", Opcode.FSYNC, text(16), []],
])("%s", (_, opcode, body, expected) => {
  expect(notices(opcode, body, expected.length)).toEqual(expected);
});

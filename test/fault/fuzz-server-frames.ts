/** Frames for the fuzzer: requests that nearly make sense, and what is done to them. */
import { allocate } from "../../src/sys/memory.ts";
import { Kind, putPrefix } from "../../src/wire/frame.ts";
import { PREFIX_BYTES } from "../../src/wire/limits.ts";
import { ARGUMENTS, Oneway, OP_COUNT, Op } from "../../src/wire/ops.ts";
import { Writer } from "../../src/wire/writer.ts";
import { type Argument, put } from "../support/client.ts";
import type { Random } from "../support/random.ts";

/** What a connection has learnt that a request may name. */
export interface Known {
  nodes: number[];
  handles: number[];
  /** Mounts of the HOST. */
  mounts: number[];
}

const region = allocate(1 << 20);
const writer = new Writer(region);
const BIG = [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER];
const HUGE = [2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];

/** Names that a server must not be led astray by; those that end a connection are rare. */
const NAMES = [
  ...["a", "b", "c", "dir", "link", "fifo", "f0", "f1", "f2", "...", ".x", " ", "\n", "a\\b"],
  ...["\xff\xfe", "é", "x".repeat(255), "%2e%2e", "a:b", "-rf", "*", "~", "$HOME", "\x7f"],
];
const FATAL_NAMES = ["", ".", "..", "../outside", "/etc/passwd", "a/b", "a\0b", "x".repeat(256)];
const XATTRS = ["user.a", "trusted.b", "security.capability", "system.posix_acl_access", "user."];

/** How often a lock is waited for: each wait may cost the server a thread. */
const WAITS = 0.01;

/** Builds the bytes of a frame. */
export function frameBytes(kind: number, items: readonly Argument[], payload?: Uint8Array): Buffer {
  writer.at = PREFIX_BYTES;
  writer.array(items.length);
  for (const item of items) put(writer, item);
  const header = writer.at - PREFIX_BYTES;
  putPrefix(region.view, 0, kind, header, payload?.length ?? 0);
  const head = Buffer.from(region.bytes.subarray(0, writer.at));
  return payload === undefined ? head : Buffer.concat([head, payload]);
}

function number(rng: Random): Argument {
  const what = rng.below(20);
  if (what < 8) return rng.below(4);
  if (what < 14) return rng.below(70_000);
  if (what < 17) return 2 ** rng.below(32);
  return rng.pick(BIG);
}

const node = (rng: Random, known: Known) =>
  rng.chance(0.9) ? rng.pick(known.nodes) : rng.below(100_000);
const handle = (rng: Random, known: Known) =>
  rng.chance(0.8) ? rng.pick(known.handles) : rng.below(50);
const mount = (rng: Random, known: Known) =>
  known.mounts.length > 0 && rng.chance(0.8) ? rng.pick(known.mounts) : number(rng);
const name = (rng: Random) =>
  rng.chance(0.01) ? rng.pick(FATAL_NAMES) : Buffer.from(rng.pick(NAMES), "latin1");
const caller = (rng: Random): Argument[] => {
  const ids = [rng.below(4096), rng.below(70_000), rng.below(70_000)];
  return [...ids, rng.chance(0.5) ? -1 : rng.below(70_000)];
};
const open = (rng: Random) => rng.below(0x800);
const mode = (rng: Random) =>
  rng.pick([0o100000, 0o010000, 0o140000, 0o020000, 0]) + rng.below(4096);
/** A place in a file: mostly small, for the tree is. */
const place = (rng: Random): Argument => (rng.chance(0.9) ? rng.below(100_000) : number(rng));

type Maker = (rng: Random, known: Known) => Argument[];

/** Arguments of each operation, of the right number and mostly of the right type. */
const MAKERS: Partial<Record<keyof typeof Op, Maker>> = {
  LOOKUP: (r, k) => [node(r, k), name(r)],
  GETATTR: (r, k) => [node(r, k), r.chance(0.5) ? 0 : handle(r, k)],
  STATX: (r, k) => [node(r, k), 0],
  SETATTR: (r, k) => {
    const size = r.chance(0.5) ? r.below(1 << 20) : number(r);
    const times = [number(r), r.below(2 ** 30), number(r), r.below(2 ** 30)];
    return [node(r, k), 0, r.below(512), mode(r), r.below(9), r.below(9), size, ...times];
  },
  READLINK: (r, k) => [node(r, k), ...caller(r).slice(1, 3)],
  SYMLINK: (r, k) => [node(r, k), name(r), r.pick(FATAL_NAMES.slice(1, 6)), ...caller(r).slice(1)],
  MKNOD: (r, k) => [node(r, k), name(r), mode(r), r.below(2 ** 32), ...caller(r)],
  MKDIR: (r, k) => [node(r, k), name(r), mode(r), ...caller(r)],
  UNLINK: (r, k) => [node(r, k), name(r)],
  RMDIR: (r, k) => [node(r, k), name(r)],
  RENAME: (r, k) => [node(r, k), name(r), node(r, k), name(r), r.below(9)],
  LINK: (r, k) => [node(r, k), node(r, k), name(r)],
  OPEN: (r, k) => [node(r, k), open(r), r.below(2), ...caller(r).slice(1, 3)],
  CREATE: (r, k) => [node(r, k), name(r), open(r), mode(r), ...caller(r)],
  TMPFILE: (r, k) => [node(r, k), open(r), mode(r), ...caller(r)],
  READ: (r, k) => [handle(r, k), place(r), r.below(r.chance(0.05) ? 1 << 20 : 4096)],
  WRITE: (r, k) => [handle(r, k), place(r), r.below(2), r.below(9)],
  FSYNC: (r, k) => [handle(r, k), r.below(2)],
  FALLOCATE: (r, k) => [handle(r, k), r.below(64), place(r), place(r), r.below(2)],
  COPY_RANGE: (r, k) => [handle(r, k), place(r), handle(r, k), place(r), place(r), r.below(2)],
  SEEK: (r, k) => [handle(r, k), place(r), r.below(6)],
  STATFS: (r, k) => [node(r, k)],
  SYNCFS: (r, k) => [node(r, k)],
  GETXATTR: (r, k) => [node(r, k), r.pick(XATTRS), r.below(100)],
  LISTXATTR: (r, k) => [node(r, k), r.below(200)],
  REMOVEXATTR: (r, k) => [node(r, k), r.pick(XATTRS)],
  READDIR: (r, k) => [r.below(8), node(r, k), number(r), r.below(20_000), r.pick([0, 152])],
  FSYNCDIR: (r, k) => [node(r, k), r.below(2)],
  GETLK: (r, k) => [node(r, k), r.below(4), r.below(3), r.below(9), 9 + r.below(9)],
  SETLK: (r, k) => {
    const range = [r.below(9), 9 + r.below(9)];
    return [node(r, k), handle(r, k), r.below(4), r.below(3), ...range, 1, r.chance(WAITS) ? 1 : 0];
  },
  FLOCK: (r, k) => [handle(r, k), r.below(3), r.chance(WAITS) ? 1 : 0],
  UNLOCK: (r, k) => [node(r, k), r.below(4)],
  POLL: (r, k) => [handle(r, k), r.below(0x10000), number(r)],
  FOLLOW: (r, k) => [node(r, k), r.below(2), r.below(2)],
  PING: () => [],
  WATCH: (r, k) => [node(r, k), r.below(3)],
  MOUNTS: (r) => [r.below(3)],
  MOUNT_ROOT: (r, k) => [mount(r, k)],
  MOUNT_END: (r, k) => [mount(r, k)],
};
const OPERATIONS = Object.keys(MAKERS) as (keyof typeof Op)[];

/** A request in `slot`, or now and then a message that is not answered. */
export function randomFrame(rng: Random, known: Known, slot: number, sequence: number): Buffer {
  if (rng.chance(0.03)) {
    const forget = [Oneway.FORGET, 1, rng.below(1000), number(rng)];
    const items = rng.chance(0.5) ? forget : [Oneway.RELEASE + rng.below(2), rng.below(50)];
    return frameBytes(Kind.ONEWAY, items);
  }
  if (rng.chance(0.02)) return frameBytes(Kind.CANCEL, [rng.below(40), sequence]);
  if (rng.chance(0.03)) return withXattr(rng, known, slot, sequence);
  const op = rng.pick(OPERATIONS);
  const args = (MAKERS[op] as Maker)(rng, known);
  const payload = op === "WRITE" ? Buffer.from(rng.bytes(rng.below(600))) : undefined;
  return frameBytes(Kind.REQUEST, [slot, sequence, Op[op], ...args], payload);
}

function withXattr(rng: Random, known: Known, slot: number, sequence: number): Buffer {
  const value = Buffer.from(rng.bytes(rng.below(300)));
  const size = rng.chance(0.98) ? value.length : rng.below(1000);
  const args = [node(rng, known), rng.pick(XATTRS), rng.below(3), size];
  return frameBytes(Kind.REQUEST, [slot, sequence, Op.SETXATTR, ...args], value);
}

/** Items that a header may have where an integer or a byte string belongs. */
const ODD_ITEMS = [
  ...["f6", "f5", "fb3ff0000000000000", "80", "818180", "a0", "a10101", "c001", "d9dfff8100"],
  ...["5affffffff", "7affffffff", "9affffffff", "bb7fffffffffffffff", "9fff", "5f4101ff", "6161"],
  ...["1b0020000000000000", "1bffffffffffffffff", "3bffffffffffffffff", "1c", "ff", "20", "1800"],
].map((hex) => Buffer.from(hex, "hex"));

/** Changes the bytes of a frame so that it may no longer be one. */
export function mutated(rng: Random, frame: Buffer): Buffer {
  const bytes = Buffer.from(frame);
  switch (rng.below(9)) {
    case 0:
    case 1: {
      for (let i = 0; i <= rng.below(8); i++) {
        const at = rng.below(bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << rng.below(8));
      }
      return bytes;
    }
    case 2:
      return bytes.subarray(0, rng.below(bytes.length));
    case 3:
      bytes.writeUInt32LE(rng.chance(0.5) ? rng.next() : rng.below(2000), 0);
      return bytes;
    case 4:
      bytes.writeUIntLE(rng.chance(0.5) ? rng.next() & 0xffffff : rng.below(200), 4, 3);
      return bytes;
    case 5:
      bytes[7] = rng.below(256);
      return bytes;
    case 6: {
      // The argument count stays, an item becomes another one.
      const items = [rng.below(40), 1 + rng.below(40), rng.below(OP_COUNT)];
      const args = Array.from({ length: ARGUMENTS[items[2] as number] ?? 3 }, () => rng.pick(HUGE));
      return frameBytes(Kind.REQUEST, [...items, ...args]);
    }
    case 7: {
      const odd = rng.pick(ODD_ITEMS);
      const header = bytes.readUIntLE(4, 3);
      const at = PREFIX_BYTES + 1 + rng.below(header);
      bytes.writeUIntLE(header + odd.length, 4, 3);
      return Buffer.concat([bytes.subarray(0, at), odd, bytes.subarray(at)]);
    }
    default:
      return Buffer.concat([bytes, Buffer.from(rng.bytes(1 + rng.below(40)))]);
  }
}

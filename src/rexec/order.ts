/**
 * The order to start a program, as it crosses: how it is to be started (CBOR), then its
 * arguments and its environment, byte for byte, each string with its NUL.
 *
 *     | head's length | head … | argv: "ls\0-l\0" … | env: "PATH=/bin\0" … |
 *       u32 LE
 */
import { encode } from "cbor-x/encode";
import { ProtocolError } from "../wire/error.ts";
import {
  ORDER_MAX,
  ORDER_WORDS_MAX,
  PATH_MAX,
  PROGRAM_FD_MAX,
  PROGRAM_FDS_MAX,
} from "../wire/limits.ts";
import { decodePlain } from "../wire/plain.ts";

const LENGTH_BYTES = 4;
/** Bytes of a head. */
const HEAD_MAX = 512 * 1024;
const GROUPS_MAX = 1024;
const ID_MAX = 0xffff_fffe;
const LIMITS_MAX = 16;

/** Devices that are the same everywhere: opened there, not carried. */
export const DEVICES = ["null", "zero", "full", "random", "urandom"] as const;

/** A descriptor of the program: the end of a stream, by its place; a device there; or a file, by its index. */
export type OrderedFd =
  | { readonly target: number; readonly place: number }
  | { readonly target: number; readonly device: string; readonly flags: number }
  | { readonly target: number; readonly file: number };

/** What stands for a device's name where the descriptor is a file. */
const A_FILE = "file";
/** Flags of open(2) that a file may be opened with: access, O_APPEND (asm-generic/fcntl.h). */
export const FILE_FLAGS = 0o2003;
/** Bytes that tell one file from another: inode number, and when its data was changed in ns. */
export const IDENTITY_BYTES = 16;

/**
 * A regular file that is open here. If its path leads to the same file there, the program has
 * that; if not, the stream of a place.
 */
export interface OrderedFile {
  readonly path: Uint8Array;
  readonly flags: number;
  readonly offset: number;
  readonly identity: Uint8Array;
  /** -1: none, and the program does without. */
  readonly place: number;
}

/** A terminal that is to be made: its modes (struct termios2) and its size (struct winsize). */
export interface OrderedTerminal {
  readonly modes: Uint8Array;
  readonly size: Uint8Array;
}

/** Signals as two halves of 32 bits: bit n - 1 is signal n. */
export type SignalSet = readonly [low: number, high: number];

export interface OrderHead {
  readonly cwd: Uint8Array;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly umask: number;
  /** Blocked and ignored signals. */
  readonly blocked: SignalSet;
  readonly ignored: SignalSet;
  /** Soft and hard limits by their numbers; -1: none. */
  readonly limits: readonly (readonly [number, number])[];
  readonly fds: readonly OrderedFd[];
  readonly files: readonly OrderedFile[];
  readonly terminal?: OrderedTerminal;
  /** Whether it outlives the client. */
  readonly detach: boolean;
  /** When it is ended; 0: never. */
  readonly timeoutMs: number;
}

export function encodeOrder(head: OrderHead, argv: Uint8Array, env: Uint8Array): Buffer {
  const fds = head.fds.map((fd) => {
    if ("place" in fd) return [fd.target, fd.place];
    return "file" in fd ? [fd.target, A_FILE, fd.file] : [fd.target, fd.device, fd.flags];
  });
  const files = head.files.map(({ path, flags, offset, identity, place }) => [
    Buffer.from(path),
    flags,
    offset,
    Buffer.from(identity),
    place,
  ]);
  const { terminal } = head;
  const bytes = encode([
    argv.length,
    env.length,
    Buffer.from(head.cwd),
    [head.uid, head.gid, ...head.groups],
    head.umask,
    [...head.blocked, ...head.ignored],
    head.limits.flat(),
    fds,
    terminal === undefined ? [] : [Buffer.from(terminal.modes), Buffer.from(terminal.size)],
    head.detach,
    head.timeoutMs,
    files,
  ]);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes, argv, env]);
}

/** An order that has come: its head, and where its strings lie in the bytes. */
export interface Order {
  readonly head: OrderHead;
  readonly argvStart: number;
  readonly envStart: number;
  readonly end: number;
}

/** Checks an order and finds its parts; throws ProtocolError. */
export function decodeOrder(bytes: Uint8Array): Order {
  if (bytes.length < LENGTH_BYTES || bytes.length > ORDER_MAX) refuse("length");
  const { buffer, byteOffset } = bytes;
  const length = new DataView(buffer, byteOffset).getUint32(0, true);
  if (length > HEAD_MAX || LENGTH_BYTES + length > bytes.length) refuse("head");
  const items = decodePlain(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  if (!Array.isArray(items) || items.length !== 12) refuse("head");
  const [argvBytes, envBytes] = [integer(items[0], ORDER_MAX), integer(items[1], ORDER_MAX)];
  const argvStart = LENGTH_BYTES + length;
  const envStart = argvStart + argvBytes;
  const end = envStart + envBytes;
  if (end !== bytes.length) refuse("length");
  const isEnded = (from: number, to: number) => from === to || bytes[to - 1] === 0;
  if (!hasFewWords(bytes.subarray(argvStart))) refuse("number of words");
  if (argvBytes === 0 || !isEnded(argvStart, envStart) || !isEnded(envStart, end)) refuse("text");
  return { head: decodeHead(items), argvStart, envStart, end };
}

/** Whoever orders more keeps others waiting while it is read. */
function hasFewWords(bytes: Uint8Array): boolean {
  let count = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) {
    if (++count > ORDER_WORDS_MAX) return false;
  }
  return true;
}

function decodeHead(items: readonly unknown[]): OrderHead {
  const [uid, gid, ...groups] = integers(items[3], 2, GROUPS_MAX + 2, ID_MAX);
  const [b0, b1, i0, i1] = integers(items[5], 4, 4, 0xffff_ffff);
  const terminal = list(items[8], 2);
  const files = decodeFiles(items[11]);
  return {
    cwd: path(items[2]),
    uid: uid as number,
    gid: gid as number,
    groups,
    umask: integer(items[4], 0o777),
    blocked: [b0 as number, b1 as number],
    ignored: [i0 as number, i1 as number],
    limits: decodeLimits(items[6]),
    fds: decodeFds(items[7], files.length),
    files,
    ...(terminal.length === 0
      ? {}
      : { terminal: { modes: blob(terminal[0], 44), size: blob(terminal[1], 8) } }),
    detach: items[9] === true,
    timeoutMs: integer(items[10], Number.MAX_SAFE_INTEGER),
  };
}

function decodeLimits(value: unknown): [number, number][] {
  const flat = list(value, 2 * LIMITS_MAX).map((one) => {
    if (typeof one !== "number" || !Number.isInteger(one) || one < -1) refuse("limits");
    return one;
  });
  if (flat.length % 2 !== 0) refuse("limits");
  return Array.from({ length: flat.length / 2 }, (_, i) => [
    flat[2 * i] as number,
    flat[2 * i + 1] as number,
  ]);
}

function decodeFiles(value: unknown): OrderedFile[] {
  return list(value, PROGRAM_FDS_MAX).map((one) => {
    const items = list(one, 5);
    const flags = integer(items[1], FILE_FLAGS);
    if ((flags & ~FILE_FLAGS) !== 0 || (flags & 3) === 3) refuse("file");
    const place = items[4] === -1 ? -1 : integer(items[4], PROGRAM_FDS_MAX - 1);
    const identity = blob(items[3], IDENTITY_BYTES);
    const offset = integer(items[2], Number.MAX_SAFE_INTEGER);
    return { path: path(items[0]), flags, offset, identity, place };
  });
}

function decodeFds(value: unknown, files: number): OrderedFd[] {
  let last = -1;
  return list(value, PROGRAM_FDS_MAX).map((one) => {
    const items = list(one, 3);
    const target = integer(items[0], PROGRAM_FD_MAX);
    if (target <= last) refuse("descriptors");
    last = target;
    if (items.length === 2) return { target, place: integer(items[1], PROGRAM_FDS_MAX - 1) };
    if (items[1] === A_FILE) return { target, file: integer(items[2], files - 1) };
    const device = DEVICES.find((name) => name === items[1]);
    if (device === undefined) refuse("device");
    return { target, device, flags: integer(items[2], 2) };
  });
}

function refuse(what: string): never {
  throw new ProtocolError(`an order with an improper ${what}`);
}

function list(value: unknown, max: number): unknown[] {
  if (!Array.isArray(value) || value.length > max) refuse("list");
  return value;
}

/** A whole number from 0 to `max`. */
export function integer(value: unknown, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
    refuse("number");
  }
  return value;
}

function integers(value: unknown, min: number, max: number, each: number): number[] {
  const items = list(value, max);
  if (items.length < min) refuse("list");
  return items.map((one) => integer(one, each));
}

function blob(value: unknown, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) refuse("length of bytes");
  return Uint8Array.from(value);
}

function path(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > PATH_MAX || value.includes(0)) {
    refuse("directory");
  }
  return Uint8Array.from(value);
}

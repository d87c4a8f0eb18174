/**
 * The ioctl(2) by which a supervisor tells a mount's process of abstract names: on a directory of
 * the mount, by root. Both sides are this very program.
 *
 * Its result is 0 once the program's own call may go on, NOT_KNOWN where that was not to be
 * had in time, or an errno.
 */
import { allocate, type Bytes } from "../../sys/memory.ts";
import { ABSTRACT_MAX } from "../../sys/unixsocket.ts";

/** What a program does. */
export const NameAct = { CONNECT: 1, BIND: 2 } as const;

/** The argument: numbers of 32 bits, then the name. */
const AT = { act: 0, type: 4, pid: 8, length: 12, name: 16 } as const;
export const NAME_CALL_BYTES = AT.name + ABSTRACT_MAX + 1;
/** _IOW('q', 1, the argument) of asm-generic/ioctl.h. */
export const NAME_CALL = ((1 << 30) | (NAME_CALL_BYTES << 16) | (0x71 << 8) | 1) >>> 0;
export const NOT_KNOWN = 1;

export interface NameCall {
  readonly act: number;
  /** SOCK_* of the socket. */
  readonly type: number;
  /** Number of the process that has bound it. */
  readonly pid: number;
  /** A byte a character, without the NUL before it. */
  readonly name: string;
}

const argument = allocate(NAME_CALL_BYTES);

/** The argument in memory; its address, until the next call. */
export function putNameCall({ act, type, pid, name }: NameCall): number {
  const { view, bytes, address } = argument;
  for (const [at, value] of [
    [AT.act, act],
    [AT.type, type],
    [AT.pid, pid],
    [AT.length, name.length],
  ] as const) {
    view.setUint32(at, value, true);
  }
  bytes.latin1Write(name, AT.name);
  return address;
}

/** The argument that begins at `start`; undefined where it is none. */
export function readNameCall(bytes: Bytes, start: number): NameCall | undefined {
  const [act, type, pid, length] = [AT.act, AT.type, AT.pid, AT.length].map((at) => {
    return bytes.readUInt32LE(start + at);
  }) as [number, number, number, number];
  const isAct = act === NameAct.CONNECT || act === NameAct.BIND;
  if (!isAct || length === 0 || length > ABSTRACT_MAX) return undefined;
  const at = start + AT.name;
  return { act, type, pid, name: bytes.latin1Slice(at, at + length) };
}

/** Copies inside the kernel: sendfile, splice, copy_file_range. */
import { addr, i32, i64, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { space } from "./arena.ts";
import { must } from "./failure.ts";

const c = libc({
  sendfile: { args: [i32, i32, addr, u64], returns: i64 },
  splice: { args: [i32, addr, i32, addr, u64, u32], returns: i64 },
  copy_file_range: { args: [i32, addr, i32, addr, u64, u32], returns: i64 },
});

/** The address of an offset argument; a missing one is NULL: the descriptor's own offset. */
function place(offset: number | undefined): number {
  if (offset === undefined) return 0;
  const room = space(8);
  room.view.setBigInt64(0, BigInt(offset), true);
  return room.address;
}

export function sendfile(to: number, from: number, size: number, offset?: number): number {
  return must("sendfile", [to, from, size, offset], c.sendfile(to, from, place(offset), size));
}

/** One end must be a pipe; offsets are for the other end. */
export function splice(from: number, fromAt: number | undefined, to: number, size: number): number {
  return must("splice", [from, fromAt, to, size], c.splice(from, place(fromAt), to, 0, size, 0));
}

/** Copies `size` bytes between files at explicit or own offsets. */
export function copyFileRange(
  from: number,
  fromAt: number | undefined,
  to: number,
  toAt: number | undefined,
  size: number,
): number {
  const result = c.copy_file_range(from, place(fromAt), to, place(toAt), size, 0);
  return must("copy_file_range", [from, fromAt, to, toAt, size], result);
}

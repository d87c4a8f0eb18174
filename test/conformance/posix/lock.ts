/** Locks: flock(2), and fcntl(2) ones of a process or of an open file description. */
import { addr, i32, libc } from "../../../src/sys/libc.ts";
import { space } from "./arena.ts";
import {
  F_GETLK,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_SETLK,
  F_SETLKW,
  F_UNLCK,
} from "./constants.ts";
import { must } from "./failure.ts";

const c = libc({
  flock: { args: [i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, addr], returns: i32 },
});

export function flock(fd: number, operation: number): void {
  must("flock", [fd, operation], c.flock(fd, operation));
}

/** struct flock: type, whence, start, length, pid. */
export interface Lock {
  type: number;
  whence: number;
  start: number;
  length: number;
  pid: number;
}

function describe(type: number, start: number, length: number, whence: number) {
  const room = space(32);
  room.view.setInt16(0, type, true);
  room.view.setInt16(2, whence, true);
  room.view.setBigInt64(8, BigInt(start), true);
  room.view.setBigInt64(16, BigInt(length), true);
  return room;
}

function command(name: string, number: number) {
  return (fd: number, type: number, start = 0, length = 0, whence = 0): void => {
    const lock = describe(type, start, length, whence);
    must(name, [fd, type, start, length], c.fcntl(fd, number, lock.address));
  };
}

/** Sets a lock or is refused (EAGAIN); length 0 reaches to the end of any size. */
export const setLock = command("F_SETLK", F_SETLK);
/** Sets a lock, waiting for it. */
export const waitLock = command("F_SETLKW", F_SETLKW);
export const setOfdLock = command("F_OFD_SETLK", F_OFD_SETLK);
export const waitOfdLock = command("F_OFD_SETLKW", F_OFD_SETLKW);

function query(name: string, number: number) {
  return (fd: number, type: number, start = 0, length = 0): Lock | null => {
    const lock = describe(type, start, length, 0);
    must(name, [fd, type, start, length], c.fcntl(fd, number, lock.address));
    const found = lock.view.getInt16(0, true);
    if (found === F_UNLCK) return null;
    return {
      type: found,
      whence: lock.view.getInt16(2, true),
      start: Number(lock.view.getBigInt64(8, true)),
      length: Number(lock.view.getBigInt64(16, true)),
      pid: lock.view.getInt32(24, true),
    };
  };
}

/** The lock that stands in the way, or null. */
export const getLock = query("F_GETLK", F_GETLK);
export const getOfdLock = query("F_OFD_GETLK", F_OFD_GETLK);

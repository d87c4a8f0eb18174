/**
 * Reading and writing files of the kernel, as who opened them. Each call is one call on
 * the HOST's open file: what a seq_file or an attribute makes of it is its affair.
 */
import { E } from "../../sys/errno.ts";
import { lseek, pread, pwrite, read, SEEK_SET, write } from "../../sys/io.ts";
import { becomeCaller, endCaller } from "../asker.ts";
import type { HandleTable } from "../handles.ts";

/** pread(2) through `handle`, or read(2) where the file has no places: bytes or -errno. */
export function readLive(
  handles: HandleTable,
  handle: number,
  address: number,
  size: number,
  offset: number,
): number {
  const fd = handles.fd[handle] as number;
  const uid = handles.uid[handle] as number;
  becomeCaller(uid, handles.gid[handle] as number);
  let got = pread(fd, address, size, offset);
  if (got === -E.ESPIPE) got = read(fd, address, size);
  endCaller(uid);
  return got;
}

/**
 * pwrite(2) through `handle`, or write(2) where that is refused: bytes or -errno.
 * seq_open forbids it to all that goes through it, /proc/PID/uid_map and comm too.
 */
export function writeLive(
  handles: HandleTable,
  handle: number,
  address: number,
  size: number,
  offset: number,
): number {
  const fd = handles.fd[handle] as number;
  const uid = handles.uid[handle] as number;
  becomeCaller(uid, handles.gid[handle] as number);
  let wrote = pwrite(fd, address, size, offset);
  if (wrote === -E.ESPIPE) {
    // Without an effect where the file has no places.
    lseek(fd, offset, SEEK_SET);
    wrote = write(fd, address, size);
  }
  endCaller(uid);
  return wrote;
}

/** Data: read, write and their kin, size and allocation, flushing. */
import { addr, i32, i64, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { bytesOf, copyOf, type Path, pathAddress, type Space, space } from "./arena.ts";
import { must } from "./failure.ts";

const c = libc({
  read: { args: [i32, addr, u64], returns: i64 },
  pread: { args: [i32, addr, u64, i64], returns: i64 },
  readv: { args: [i32, addr, i32], returns: i64 },
  preadv: { args: [i32, addr, i32, i64], returns: i64 },
  write: { args: [i32, addr, u64], returns: i64 },
  pwrite: { args: [i32, addr, u64, i64], returns: i64 },
  writev: { args: [i32, addr, i32], returns: i64 },
  pwritev: { args: [i32, addr, i32, i64], returns: i64 },
  pwritev2: { args: [i32, addr, i32, i64, i32], returns: i64 },
  lseek: { args: [i32, i64, i32], returns: i64 },
  ftruncate: { args: [i32, i64], returns: i32 },
  truncate: { args: [addr, i64], returns: i32 },
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  fdatasync: { args: [i32], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
  sync_file_range: { args: [i32, i64, i64, u32], returns: i32 },
});

export type Data = string | Uint8Array;

export function read(fd: number, size: number): Buffer {
  const room = space(Math.max(size, 1));
  const length = must("read", [fd, size], c.read(fd, room.address, size));
  return Buffer.from(room.bytes.subarray(0, length));
}

export function pread(fd: number, size: number, offset: number): Buffer {
  const room = space(Math.max(size, 1));
  const length = must("pread", [fd, size, offset], c.pread(fd, room.address, size, offset));
  return Buffer.from(room.bytes.subarray(0, length));
}

/** `struct iovec` entries: address and length, 8 bytes each. */
function vector(parts: readonly { address: number; length: number }[]): number {
  const table = space(Math.max(parts.length * 16, 16));
  parts.forEach((part, index) => {
    table.view.setBigUint64(index * 16, BigInt(part.address), true);
    table.view.setBigUint64(index * 16 + 8, BigInt(part.length), true);
  });
  return table.address;
}

function scatter(call: string, sizes: number[], invoke: (table: number) => number | bigint) {
  const rooms: Space[] = sizes.map((size) => space(Math.max(size, 1)));
  const parts = rooms.map((room, index) => ({
    address: room.address,
    length: sizes[index] ?? 0,
  }));
  let left = must(call, [sizes], invoke(vector(parts)));
  return rooms.map((room, index) => {
    const length = Math.min(left, sizes[index] ?? 0);
    left -= length;
    return Buffer.from(room.bytes.subarray(0, length));
  });
}

/** Reads into buffers of `sizes`; each comes back as long as it was filled. */
export function readv(fd: number, sizes: number[]): Buffer[] {
  return scatter("readv", sizes, (table) => c.readv(fd, table, sizes.length));
}

export function preadv(fd: number, sizes: number[], offset: number): Buffer[] {
  return scatter("preadv", sizes, (table) => c.preadv(fd, table, sizes.length, offset));
}

function gather(parts: Data[]): number {
  return vector(
    parts.map((part) => {
      const bytes = bytesOf(part);
      return { address: copyOf(bytes), length: bytes.length };
    }),
  );
}

export function write(fd: number, data: Data): number {
  const bytes = bytesOf(data);
  return must("write", [fd, data], c.write(fd, copyOf(bytes), bytes.length));
}

export function pwrite(fd: number, data: Data, offset: number): number {
  const bytes = bytesOf(data);
  const result = c.pwrite(fd, copyOf(bytes), bytes.length, offset);
  return must("pwrite", [fd, data, offset], result);
}

export function writev(fd: number, parts: Data[]): number {
  return must("writev", [fd, parts], c.writev(fd, gather(parts), parts.length));
}

export function pwritev(fd: number, parts: Data[], offset: number): number {
  return must("pwritev", [fd, parts, offset], c.pwritev(fd, gather(parts), parts.length, offset));
}

/** pwritev2(2) with RWF_ flags. */
export function pwritev2(fd: number, parts: Data[], offset: number, flags: number): number {
  const result = c.pwritev2(fd, gather(parts), parts.length, offset, flags);
  return must("pwritev2", [fd, parts, offset, flags], result);
}

export function lseek(fd: number, offset: number, whence: number): number {
  return must("lseek", [fd, offset, whence], c.lseek(fd, offset, whence));
}

export function ftruncate(fd: number, size: number): void {
  must("ftruncate", [fd, size], c.ftruncate(fd, size));
}

export function truncate(path: Path, size: number): void {
  must("truncate", [path, size], c.truncate(pathAddress(path), size));
}

export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  must("fallocate", [fd, mode, offset, length], c.fallocate(fd, mode, offset, length));
}

export function fsync(fd: number): void {
  must("fsync", [fd], c.fsync(fd));
}

export function fdatasync(fd: number): void {
  must("fdatasync", [fd], c.fdatasync(fd));
}

export function syncfs(fd: number): void {
  must("syncfs", [fd], c.syncfs(fd));
}

/** sync_file_range(2): writes the pages of a range, `flags` as SYNC_FILE_RANGE_*. */
export function syncFileRange(fd: number, offset: number, length: number, flags: number): void {
  must("sync_file_range", [fd, offset], c.sync_file_range(fd, offset, length, flags));
}

/** posix_fadvise(2): 4 is DONTNEED, which drops clean pages of the page cache. Returns errno. */
export function fadvise(fd: number, offset: number, length: number, advice: number): number {
  return c.posix_fadvise(fd, offset, length, advice);
}

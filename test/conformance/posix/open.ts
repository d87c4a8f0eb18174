/** Opening: open(2), openat(2), dup(2), pipe(2), descriptor flags. */
import { addr, i32, libc, u32 } from "../../../src/sys/libc.ts";
import { type Path, pathAddress, space } from "./arena.ts";
import { AT_FDCWD, F_GETFD, F_GETFL, F_SETFL, O_CLOEXEC } from "./constants.ts";
import { opened } from "./descriptors.ts";
import { must, octal } from "./failure.ts";

const c = libc({
  openat: { args: [i32, addr, i32, u32], returns: i32 },
  dup: { args: [i32], returns: i32 },
  pipe2: { args: [addr, i32], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
});

export { close } from "./descriptors.ts";

export function openat(dirfd: number, path: Path, flags: number, mode = 0o644): number {
  const result = c.openat(dirfd, pathAddress(path), flags | O_CLOEXEC, mode);
  return opened(must("openat", [dirfd, path, octal(flags), octal(mode)], result));
}

export function open(path: Path, flags: number, mode = 0o644): number {
  const result = c.openat(AT_FDCWD, pathAddress(path), flags | O_CLOEXEC, mode);
  return opened(must("open", [path, octal(flags), octal(mode)], result));
}

export function dup(fd: number): number {
  return opened(must("dup", [fd], c.dup(fd)));
}

/** The read end and the write end. */
export function pipe(): [number, number] {
  const ends = space(8);
  must("pipe", [], c.pipe2(ends.address, O_CLOEXEC));
  return [opened(ends.view.getInt32(0, true)), opened(ends.view.getInt32(4, true))];
}

export function getDescriptorFlags(fd: number): number {
  return must("F_GETFD", [fd], c.fcntl(fd, F_GETFD, 0));
}

export function getStatusFlags(fd: number): number {
  return must("F_GETFL", [fd], c.fcntl(fd, F_GETFL, 0));
}

export function setStatusFlags(fd: number, flags: number): void {
  must("F_SETFL", [fd, flags], c.fcntl(fd, F_SETFL, flags));
}

/** Small pieces that most cases start from. */
import type { Path } from "../posix/arena.ts";
import * as p from "../posix/index.ts";
import { check, refuses } from "./expect.ts";

export { pattern } from "./pattern.ts";

/** 2001-09-09T01:46:40.123456789Z in nanoseconds: older than anything a case does. */
export const OLD = 1_000_000_000_123_456_789n;

/** Creates or replaces a file with that content. */
export function put(path: Path, data: Path = "", mode = 0o644): void {
  const fd = p.open(path, p.O_WRONLY | p.O_CREAT | p.O_TRUNC, mode);
  if (data.length > 0) p.write(fd, data);
  p.close(fd);
}

/** Creates a file with that content and leaves it open for both, at offset 0. */
export function make(path: Path, data: Path = "", flags = 0): number {
  const fd = p.open(path, p.O_RDWR | p.O_CREAT | flags);
  if (data.length > 0) p.pwrite(fd, data, 0);
  return fd;
}

/** The whole content, up to 4 MiB. */
export function get(path: Path): Buffer {
  const fd = p.open(path, p.O_RDONLY);
  const parts: Buffer[] = [];
  for (;;) {
    const part = p.read(fd, 1 << 20);
    if (part.length === 0) break;
    parts.push(part);
  }
  p.close(fd);
  return Buffer.concat(parts);
}

/** The whole content as text, one character a byte. */
export function text(path: Path): string {
  return get(path).toString("latin1");
}

export function absent(path: Path): void {
  refuses("ENOENT", () => p.lstat(path));
}

/** The permission bits with set-id and sticky. */
export function modeOf(path: Path): number {
  return p.lstat(path).mode & 0o7777;
}

export function typeOf(path: Path): number {
  return p.lstat(path).mode & p.S_IFMT;
}

/** A file of `uid`, with that mode whatever the umask. */
export function owned(path: Path, uid: number, gid: number, mode: number, data: Path = "x"): void {
  put(path, data);
  p.chown(path, uid, gid);
  p.chmod(path, mode);
}

/** A directory of `uid`, with that mode whatever the umask. */
export function ownedDirectory(path: Path, uid: number, gid: number, mode: number): void {
  p.mkdir(path);
  p.chown(path, uid, gid);
  p.chmod(path, mode);
}

/** Sets atime and mtime to OLD. */
export function age(path: Path): void {
  p.utimens(path, OLD, OLD, p.AT_SYMLINK_NOFOLLOW);
}

/** Which of the three times an action changes; they were let tick before it. */
export function changed(path: Path, action: () => void): string[] {
  age(path);
  const before = p.lstat(path);
  p.pause(15);
  action();
  const after = p.lstat(path);
  return (["atime", "mtime", "ctime"] as const).filter((time) => before[time] !== after[time]);
}

export function allZero(bytes: Uint8Array, what: string): void {
  check(
    bytes.every((byte) => byte === 0),
    `${what}: expected zeros only`,
  );
}

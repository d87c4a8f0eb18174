/** Work on one file or one tree that several processes share. */
import { pattern } from "../harness/pattern.ts";
import * as c from "../posix/constants.ts";
import { list } from "../posix/directory.ts";
import { PosixError } from "../posix/failure.ts";
import { pread, pwrite, read, write } from "../posix/io.ts";
import { flock, setLock, waitLock } from "../posix/lock.ts";
import { close, open } from "../posix/open.ts";
import { getpid } from "../posix/process.ts";
import { fstat } from "../posix/stat.ts";
import { link, mkdir, mknod, rename, rmdir, unlink } from "../posix/tree.ts";

/** Adds 1 to the number in a file, `rounds` times, each time under a lock. */
export function count(path: string, rounds: number, kind: "flock" | "posix" | "name"): void {
  const fd = open(path, c.O_RDWR);
  for (let round = 0; round < rounds; round++) {
    if (kind === "flock") flock(fd, c.LOCK_EX);
    if (kind === "posix") waitLock(fd, c.F_WRLCK);
    if (kind === "name") takeName(`${path}.lock`);
    pwrite(fd, String(Number(pread(fd, 20, 0).toString()) + 1), 0);
    if (kind === "flock") flock(fd, c.LOCK_UN);
    if (kind === "posix") setLock(fd, c.F_UNLCK);
    if (kind === "name") unlink(`${path}.lock`);
  }
  close(fd);
}

/** A lock as mail programs take it: whoever makes the file has it. */
function takeName(path: string): void {
  for (;;) {
    try {
      close(open(path, c.O_CREAT | c.O_EXCL | c.O_WRONLY));
      return;
    } catch (error) {
      if (!(error instanceof PosixError)) throw error;
    }
  }
}

export const BLOCK = 4096;

/** A block that says which one it is and carries a checksum of itself. */
export function sealed(number: number): Buffer {
  const block = pattern(BLOCK, number * BLOCK);
  block.writeUInt32LE(number, 0);
  block.writeUInt32LE(Bun.hash.crc32(block.subarray(8), number), 4);
  return block;
}

/** The number of a block whose checksum holds, or -1. */
export function unsealed(block: Uint8Array): number {
  const bytes = Buffer.from(block);
  if (bytes.length !== BLOCK) return -1;
  const number = bytes.readUInt32LE(0);
  return Bun.hash.crc32(bytes.subarray(8), number) === bytes.readUInt32LE(4) ? number : -1;
}

/** Appends blocks 0 to `blocks` - 1. */
export function appendBlocks(path: string, blocks: number): void {
  const fd = open(path, c.O_WRONLY | c.O_APPEND);
  for (let number = 0; number < blocks; number++) write(fd, sealed(number));
  close(fd);
}

/**
 * Reads behind a writer until `blocks` are there. Returns the first block that
 * is wrong, or -1, and how often a block was short though fstat(2) told of it.
 */
export function followBlocks(path: string, blocks: number): { wrong: number; short: number } {
  const fd = open(path, c.O_RDONLY);
  let short = 0;
  for (let next = 0; next < blocks; ) {
    const whole = Math.floor(fstat(fd).size / BLOCK);
    while (next < whole) {
      const block = pread(fd, BLOCK, next * BLOCK);
      if (block.length < BLOCK) short++;
      else if (unsealed(block) !== next) return { wrong: next, short };
      else next++;
    }
  }
  close(fd);
  return { wrong: -1, short };
}

/** Writes blocks over each other at one place, each under a write lock. */
export function overwriteBlock(path: string, rounds: number): void {
  const fd = open(path, c.O_RDWR);
  for (let number = 1; number <= rounds; number++) {
    waitLock(fd, c.F_WRLCK, 0, BLOCK);
    pwrite(fd, sealed(number), 0);
    setLock(fd, c.F_UNLCK, 0, BLOCK);
  }
  close(fd);
}

/** Reads that block under read locks; counts blocks that are not whole or older than before. */
export function watchBlock(path: string, rounds: number): number {
  const fd = open(path, c.O_RDWR);
  let wrong = 0;
  let last = 0;
  for (let round = 0; round < rounds; round++) {
    waitLock(fd, c.F_RDLCK, 0, BLOCK);
    const number = unsealed(pread(fd, BLOCK, 0));
    setLock(fd, c.F_UNLCK, 0, BLOCK);
    if (number < last) wrong++;
    last = Math.max(last, number);
  }
  close(fd);
  return wrong;
}

/** Replaces `path` by rename, again and again, by one more block each time. */
export function replaceFile(path: string, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    const fresh = `${path}.${getpid()}`;
    const fd = open(fresh, c.O_CREAT | c.O_WRONLY | c.O_TRUNC);
    for (let number = 0; number <= round % 5; number++) write(fd, sealed(round % 5));
    close(fd);
    rename(fresh, path);
  }
}

/** Opens and reads a file that is being replaced; counts readings that are not whole. */
export function readReplaced(path: string, rounds: number): number {
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    const fd = open(path, c.O_RDONLY);
    const all = read(fd, BLOCK * 8);
    const number = unsealed(all.subarray(0, BLOCK));
    if (number < 0 || all.length !== (number + 1) * BLOCK) wrong++;
    close(fd);
  }
  return wrong;
}

/** Opens both of two names that are exchanged all the time; counts what was missing. */
export function readExchanged(a: string, b: string, rounds: number): number {
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    for (const path of [a, b]) {
      try {
        const fd = open(path, c.O_RDONLY);
        if (read(fd, 10).length !== 1) wrong++;
        close(fd);
      } catch (error) {
        if (!(error instanceof PosixError)) throw error;
        wrong++;
      }
    }
  }
  return wrong;
}

/** Exchanges two names, an even number of times. */
export function exchange(a: string, b: string, rounds: number): void {
  for (let round = 0; round < rounds * 2; round++) rename(a, b, c.RENAME_EXCHANGE);
}

/** Makes, links, renames and removes entries of `directories`, by chance but repeatably. */
export function scramble(directories: string[], seed: number, rounds: number): void {
  let state = seed;
  const next = (limit: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  const place = () => `${directories[next(directories.length)]}/e${next(12)}`;
  const steps = [
    () => mknod(place(), c.S_IFREG | 0o644),
    () => unlink(place()),
    () => rename(place(), place()),
    () => rename(place(), place(), c.RENAME_NOREPLACE),
    () => rename(place(), place(), c.RENAME_EXCHANGE),
    () => link(place(), place()),
    () => mkdir(place()),
    () => rmdir(place()),
    () => list(directories[next(directories.length)] ?? "."),
  ];
  for (let round = 0; round < rounds; round++) {
    try {
      steps[next(steps.length)]?.();
    } catch (error) {
      // Which attempts are refused depends on the others: the tree in the end does not.
      if (!(error instanceof PosixError)) throw error;
    }
  }
}

/** Fills every `step`-th piece of a file, from the `index`-th on, with pattern bytes. */
export function fillPieces(path: string, index: number, step: number, pieces: number): void {
  const size = 1000;
  const fd = open(path, c.O_WRONLY);
  for (let piece = index; piece < pieces; piece += step) {
    pwrite(fd, pattern(size, piece * size), piece * size);
  }
  close(fd);
}

/** Loads on file contents. */
import { fsync, pread, pwrite, read, write } from "../../../../src/sys/io.ts";
import { allocate } from "../../../../src/sys/memory.ts";
import * as o from "../../../../src/sys/open.ts";
import { unlinkat } from "../../../../src/sys/tree.ts";
import { check, cStrings, dropPages, opener } from "../calls.ts";
import { sleepers } from "../sleepers.ts";
import { BIG_BYTES, bigName, SMALL_BYTES, SMALL_FILES, smallName } from "../tree.ts";
import type { Load, LoadContext } from "./load.ts";

const MIB = 1 << 20;
const RANDOM_BYTES = 4096;
const NEW_NAMES = 100;

/** What is read or written; one per thread, for one load runs at a time. */
const { address } = allocate(MIB);

/** open, read all 4 KiB, close. */
export function readSmall({ root, thread }: LoadContext): Load {
  const dirfd = opener(`${root}/small`, o.O_RDONLY | o.O_DIRECTORY)();
  const names = cStrings(Array.from({ length: SMALL_FILES }, (_, i) => smallName(i)));
  let next = thread * 50;
  return {
    step() {
      const name = names[next++ % SMALL_FILES] as number;
      const fd = check(o.openat(dirfd, name, o.O_RDONLY, 0), "open");
      if (read(fd, address, SMALL_BYTES) !== SMALL_BYTES) throw new Error("Short read");
      check(o.close(fd), "close");
      return 1;
    },
    close: () => void o.close(dirfd),
  };
}

/** open, read, close of /proc/N/stat, process after process; `root` is a proc. */
export function procStat({ root, thread }: LoadContext): Load {
  const dirfd = opener(root, o.O_RDONLY | o.O_DIRECTORY)();
  const names = cStrings(sleepers().map((pid) => `${pid}/stat`));
  let next = thread * 50;
  return {
    step() {
      const name = names[next++ % names.length] as number;
      const fd = check(o.openat(dirfd, name, o.O_RDONLY, 0), "open");
      if (check(read(fd, address, SMALL_BYTES), "read") < 100) throw new Error("Short read");
      check(o.close(fd), "close");
      return 1;
    },
    close: () => void o.close(dirfd),
  };
}

/** create, write 4 KiB, close, unlink. */
export function createSmall({ root, thread }: LoadContext): Load {
  const dirfd = opener(`${root}/work`, o.O_RDONLY | o.O_DIRECTORY)();
  const names = cStrings(Array.from({ length: NEW_NAMES }, (_, i) => `new_${thread}_${i}`));
  const flags = o.O_CREAT | o.O_EXCL | o.O_WRONLY;
  let next = 0;
  return {
    step() {
      const name = names[next++ % NEW_NAMES] as number;
      const fd = check(o.openat(dirfd, name, flags, 0o644), "create");
      check(write(fd, address, SMALL_BYTES), "write");
      check(o.close(fd), "close");
      check(unlinkat(dirfd, name, 0), "unlink");
      return 1;
    },
    close: () => void o.close(dirfd),
  };
}

type Transfer = typeof pread;

/** Blocks of `size` at the offsets that `offsetOf` gives, past the page cache. */
function direct(
  { root, thread }: LoadContext,
  size: number,
  transfer: Transfer,
  offsetOf: () => number,
): Load {
  const fd = opener(`${root}/${bigName(thread)}`, o.O_RDWR | o.O_DIRECT)();
  return {
    step() {
      const done = check(transfer(fd, address, size, offsetOf()), transfer.name);
      if (done !== size) throw new Error(`${transfer.name}: ${done} of ${size} bytes`);
      return size;
    },
    // sshfs answers writes before its server has them, and would be measured on its queue alone.
    ...(transfer === pwrite && { settle: () => void check(fsync(fd), "fsync") }),
    close: () => void o.close(fd),
  };
}

function randomOffset(): number {
  return Math.floor(Math.random() * (BIG_BYTES / RANDOM_BYTES)) * RANDOM_BYTES;
}

function sequentialOffset(): () => number {
  let offset = -MIB;
  return () => {
    offset = (offset + MIB) % BIG_BYTES;
    return offset;
  };
}

/** 4 KiB at random places of the thread's own big file, O_DIRECT. */
export const randomRead = (context: LoadContext) =>
  direct(context, RANDOM_BYTES, pread, randomOffset);
export const randomWrite = (context: LoadContext) =>
  direct(context, RANDOM_BYTES, pwrite, randomOffset);

/** 1 MiB after 1 MiB of the thread's own big file, O_DIRECT. */
export const directRead = (context: LoadContext) => direct(context, MIB, pread, sequentialOffset());
export const directWrite = (context: LoadContext) =>
  direct(context, MIB, pwrite, sequentialOffset());

/** A whole big file through the page cache, which is emptied of it first. */
export function cachedRead({ root, thread }: LoadContext): Load {
  const open = opener(`${root}/${bigName(thread)}`, o.O_RDONLY);
  return {
    step() {
      const fd = open();
      dropPages(fd);
      for (let offset = 0; offset < BIG_BYTES; offset += MIB) {
        if (read(fd, address, MIB) !== MIB) throw new Error("Short read");
      }
      check(o.close(fd), "close");
      return BIG_BYTES;
    },
    close() {},
  };
}

/** A whole new file through the page cache, with fsync at the end. */
export function cachedWrite({ root, thread }: LoadContext): Load {
  const open = opener(`${root}/work/out_${thread}`, o.O_CREAT | o.O_TRUNC | o.O_WRONLY);
  return {
    step() {
      const fd = open();
      for (let offset = 0; offset < BIG_BYTES; offset += MIB) {
        if (write(fd, address, MIB) !== MIB) throw new Error("Short write");
      }
      check(fsync(fd), "fsync");
      check(o.close(fd), "close");
      return BIG_BYTES;
    },
    close() {},
  };
}

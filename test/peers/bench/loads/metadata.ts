/** Loads on attributes and names. */
import { E } from "../../../../src/sys/errno.ts";
import { allocate, type Region } from "../../../../src/sys/memory.ts";
import { AT_EMPTY_PATH, close, O_DIRECTORY, O_RDONLY } from "../../../../src/sys/open.ts";
import { getdents64 } from "../../../../src/sys/tree.ts";
import { check, cStrings, opener, statx } from "../calls.ts";
import { SMALL_FILES, smallName } from "../tree.ts";
import type { Load, LoadContext } from "./load.ts";

/** struct linux_dirent64 (getdents64(2)): u16 d_reclen, char d_name[]. */
const RECLEN_OFFSET = 16;
const NAME_OFFSET = 19;
const PAGE_BYTES = 64 * 1024;
const DOT = 46;
const MISSING_NAMES = 1000;

/** stat of existing files by name, relative to their open directory. */
export function stat({ root, thread }: LoadContext): Load {
  const dirfd = opener(`${root}/small`, O_RDONLY | O_DIRECTORY)();
  const names = cStrings(Array.from({ length: SMALL_FILES }, (_, i) => smallName(i)));
  let next = thread * 50;
  return {
    step() {
      check(statx(dirfd, names[next++ % SMALL_FILES] as number, 0), "statx");
      return 1;
    },
    close: () => void close(dirfd),
  };
}

/** stat of an open file: one GETATTR, one round trip, when nothing is cached. */
export function fstat({ root, thread }: LoadContext): Load {
  const fd = opener(`${root}/small/${smallName(thread)}`, O_RDONLY)();
  const [empty] = cStrings([""]) as [number];
  return {
    step() {
      check(statx(fd, empty, AT_EMPTY_PATH), "fstat");
      return 1;
    },
    close: () => void close(fd),
  };
}

/** Lookup of names that do not exist. */
export function missing({ root, thread }: LoadContext): Load {
  const dirfd = opener(`${root}/small`, O_RDONLY | O_DIRECTORY)();
  const names = cStrings(Array.from({ length: MISSING_NAMES }, (_, i) => `missing_${thread}_${i}`));
  let next = 0;
  return {
    step() {
      const result = statx(dirfd, names[next++ % MISSING_NAMES] as number, 0);
      if (result !== -E.ENOENT) throw new Error(`statx of a missing name: ${result}`);
      return 1;
    },
    close: () => void close(dirfd),
  };
}

/** Stats each name of one page of getdents64(2); returns how many there were. */
function statEach(dirfd: number, page: Region, size: number): number {
  let entries = 0;
  for (let at = 0; at < size; at += page.view.getUint16(at + RECLEN_OFFSET, true)) {
    if (page.view.getUint8(at + NAME_OFFSET) === DOT) continue;
    check(statx(dirfd, page.address + at + NAME_OFFSET, 0), "statx");
    entries++;
  }
  return entries;
}

/** One page of a directory of 10,000 and a stat of each entry in it; units are entries. */
export function readdir({ root }: LoadContext): Load {
  const page = allocate(PAGE_BYTES);
  const open = opener(`${root}/many`, O_RDONLY | O_DIRECTORY);
  let dirfd = -1;
  return {
    step() {
      if (dirfd < 0) dirfd = open();
      const size = check(getdents64(dirfd, page.address, PAGE_BYTES), "getdents64");
      if (size > 0) return statEach(dirfd, page, size);
      close(dirfd);
      dirfd = -1;
      return 0;
    },
    close: () => void (dirfd >= 0 && close(dirfd)),
  };
}

/** A whole walk of the directory of 10,000 with a stat of each entry. */
export function walk(context: LoadContext): Load {
  const pages = readdir(context);
  return {
    step() {
      let entries = 0;
      for (let got = pages.step(); got > 0; got = pages.step()) entries += got;
      return entries;
    },
    close: () => pages.close(),
  };
}

/** lseek(2), holes, and large offsets. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses } from "../harness/expect.ts";
import { allZero, make, pattern } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } = p;
const MIB = 1 << 20;

/** A file of 4 MiB with data in its second MiB only. */
function sparse(): number {
  const fd = make("f");
  p.pwrite(fd, pattern(MIB), MIB);
  p.ftruncate(fd, 4 * MIB);
  return fd;
}

function farWrite(offset: number) {
  return () => {
    const fd = make("f");
    p.pwrite(fd, "before", offset - 6);
    p.pwrite(fd, "after", offset);
    equal(p.fstat(fd).size, offset + 5, "size");
    holds(p.pread(fd, 20, offset - 6), "beforeafter", "content");
    equal(p.lseek(fd, offset, SEEK_SET), offset, "offset");
    holds(p.read(fd, 5), "after", "content at the offset");
    allZero(p.pread(fd, 4096, offset - 8192), "the hole before");
  };
}

export const cases = area("seek", {
  "set-current-end": () => {
    const fd = make("f", "abcdef");
    equal(p.lseek(fd, 4, SEEK_SET), 4, "SET");
    equal(p.lseek(fd, -1, SEEK_CUR), 3, "CUR");
    equal(p.lseek(fd, -2, SEEK_END), 4, "END");
    holds(p.read(fd, 10), "ef", "content");
  },
  "beyond-the-end": () => {
    const fd = make("f", "abc");
    equal(p.lseek(fd, 1000, SEEK_END), 1003, "offset");
    equal(p.fstat(fd).size, 3, "size");
    holds(p.read(fd, 10), "", "content");
  },
  "before-the-start": () => {
    const fd = make("f", "abc");
    refuses("EINVAL", () => p.lseek(fd, -1, SEEK_SET));
    refuses("EINVAL", () => p.lseek(fd, -4, SEEK_END));
    equal(p.lseek(fd, 0, SEEK_CUR), 0, "offset");
  },
  "unknown-whence": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.lseek(fd, 0, 99));
  },
  "on-a-pipe-in-the-tree": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    const fd = p.open("fifo", p.O_RDWR | p.O_NONBLOCK);
    refuses("ESPIPE", () => p.lseek(fd, 0, SEEK_SET));
    refuses("ESPIPE", () => p.pread(fd, 1, 0));
  },
  "end-follows-another-writer": async (context) => {
    const fd = make("f", "abc");
    const peer = await context.peer();
    const other = await peer.open("f", p.O_WRONLY | p.O_APPEND);
    await peer.write(other, "def");
    equal(p.lseek(fd, 0, SEEK_END), 6, "end");
  },
  "data-in-front": () => {
    const fd = make("f", "abc");
    equal(p.lseek(fd, 0, SEEK_DATA), 0, "data");
    equal(p.lseek(fd, 0, SEEK_HOLE), 3, "hole");
  },
  "data-after-a-hole": () => {
    const fd = sparse();
    equal(p.lseek(fd, 0, SEEK_DATA), MIB, "data");
    equal(p.lseek(fd, MIB + 5, SEEK_DATA), MIB + 5, "data inside data");
  },
  "hole-after-data": () => {
    const fd = sparse();
    equal(p.lseek(fd, 0, SEEK_HOLE), 0, "hole at the start");
    equal(p.lseek(fd, MIB, SEEK_HOLE), 2 * MIB, "hole after the data");
  },
  "no-data-left": () => {
    const fd = sparse();
    refuses("ENXIO", () => p.lseek(fd, 2 * MIB, SEEK_DATA));
  },
  "data-and-hole-beyond-the-end": () => {
    const fd = make("f", "abc");
    refuses("ENXIO", () => p.lseek(fd, 3, SEEK_DATA));
    refuses("ENXIO", () => p.lseek(fd, 3, SEEK_HOLE));
    refuses("ENXIO", () => p.lseek(fd, 100, SEEK_HOLE));
  },
  "empty-file-has-no-data": () => {
    const fd = make("f");
    refuses("ENXIO", () => p.lseek(fd, 0, SEEK_DATA));
    refuses("ENXIO", () => p.lseek(fd, 0, SEEK_HOLE));
  },
  "walk-over-three-pieces": () => {
    const fd = make("f");
    const starts = [0, 3 * MIB, 8 * MIB];
    for (const start of starts) p.pwrite(fd, pattern(65_536), start);
    p.ftruncate(fd, 10 * MIB);
    const found: number[][] = [];
    for (let at = 0; ; ) {
      let data: number;
      try {
        data = p.lseek(fd, at, SEEK_DATA);
      } catch {
        break;
      }
      at = p.lseek(fd, data, SEEK_HOLE);
      found.push([data, at]);
    }
    equal(
      found,
      starts.map((start) => [start, start + 65_536]),
      "pieces of data",
    );
  },
  "holes-take-no-blocks": () => {
    const fd = make("f");
    p.ftruncate(fd, 100 * MIB);
    check(p.fstat(fd).blocks * 512 < MIB, "a hole of 100 MiB takes blocks");
    allZero(p.pread(fd, 65_536, 50 * MIB), "the hole");
  },
  "hole-can-be-filled": () => {
    const fd = sparse();
    p.pwrite(fd, "filled", 3 * MIB);
    holds(p.pread(fd, 6, 3 * MIB), "filled", "content");
    allZero(p.pread(fd, 4096, 3 * MIB - 4096), "what is left of the hole");
    equal(p.fstat(fd).size, 4 * MIB, "size");
  },
  "offset-2-31": farWrite(2 ** 31),
  "offset-2-32": farWrite(2 ** 32),
  "offset-2-40": farWrite(2 ** 40),
  "size-2-40-by-truncate": () => {
    const fd = make("f", "abc");
    p.ftruncate(fd, 2 ** 40);
    equal(p.stat("f").size, 2 ** 40, "size");
    equal(p.lseek(fd, 0, SEEK_END), 2 ** 40, "end");
    allZero(p.pread(fd, 4096, 2 ** 40 - 4096), "the end");
  },
  "offset-too-large-for-the-file-system": () => {
    const fd = make("f");
    refuses("EFBIG", () => p.pwrite(fd, "x", 2 ** 60));
    refuses(["EFBIG", "EINVAL"], () => p.ftruncate(fd, 2 ** 60));
    equal(p.fstat(fd).size, 0, "size");
  },
});

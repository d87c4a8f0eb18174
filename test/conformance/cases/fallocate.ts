/** fallocate(2) in its modes. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses } from "../harness/expect.ts";
import { allZero, changed, make, pattern, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { FALLOC_KEEP_SIZE: KEEP, FALLOC_PUNCH_HOLE: PUNCH, FALLOC_ZERO_RANGE: ZERO } = p;
const KIB64 = 65_536;

export const cases = area("fallocate", {
  "grows-the-file": () => {
    const fd = make("f", "abc");
    p.fallocate(fd, 0, 0, 100_000);
    equal(p.fstat(fd).size, 100_000, "size");
    check(p.fstat(fd).blocks * 512 >= 100_000, "blocks are not allocated");
    holds(p.pread(fd, 4, 0), "abc\0", "content");
  },
  "keeps-a-larger-size": () => {
    const fd = make("f", pattern(10_000));
    p.fallocate(fd, 0, 0, 100);
    equal(p.fstat(fd).size, 10_000, "size");
    equal(p.pread(fd, 10_000, 0), pattern(10_000), "content");
  },
  "keep-size-allocates-only": () => {
    const fd = make("f", "abc");
    p.fallocate(fd, KEEP, 0, 100_000);
    equal(p.fstat(fd).size, 3, "size");
    check(p.fstat(fd).blocks * 512 >= 100_000, "blocks are not allocated");
  },
  "punch-hole-zeroes": () => {
    const fd = make("f", pattern(4 * KIB64));
    p.fallocate(fd, PUNCH | KEEP, KIB64, KIB64);
    allZero(p.pread(fd, KIB64, KIB64), "the hole");
    equal(p.pread(fd, KIB64, 0), pattern(KIB64), "what is before");
    equal(p.pread(fd, KIB64, 2 * KIB64), pattern(KIB64, 2 * KIB64), "what is behind");
    equal(p.fstat(fd).size, 4 * KIB64, "size");
  },
  "punch-hole-frees-blocks": () => {
    const fd = make("f", pattern(16 * KIB64));
    p.fsync(fd);
    const before = p.fstat(fd).blocks;
    p.fallocate(fd, PUNCH | KEEP, 0, 8 * KIB64);
    check(p.fstat(fd).blocks < before, "no blocks were freed");
    equal(p.lseek(fd, 0, p.SEEK_DATA), 8 * KIB64, "first data");
  },
  "punch-hole-of-odd-bytes": () => {
    const fd = make("f", pattern(20_000));
    p.fallocate(fd, PUNCH | KEEP, 5001, 7003);
    allZero(p.pread(fd, 7003, 5001), "the hole");
    equal(p.pread(fd, 5001, 0), pattern(20_000).subarray(0, 5001), "what is before");
    equal(p.pread(fd, 7996, 12_004), pattern(20_000).subarray(12_004), "what is behind");
  },
  "punch-hole-beyond-the-end": () => {
    const fd = make("f", "abc");
    p.fallocate(fd, PUNCH | KEEP, 4096, 8192);
    equal(p.fstat(fd).size, 3, "size");
  },
  "punch-hole-seen-by-another": async (context) => {
    const fd = make("f", pattern(2 * KIB64));
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDONLY);
    equal(
      (await peer.pread(other, 8, 4096)).every((byte) => byte === 0),
      false,
      "zero before",
    );
    p.fallocate(fd, PUNCH | KEEP, 0, KIB64);
    allZero(await peer.pread(other, KIB64, 0), "the hole");
  },
  "punch-hole-needs-keep-size": () => {
    const fd = make("f", pattern(8192));
    refuses("EOPNOTSUPP", () => p.fallocate(fd, PUNCH, 0, 4096));
  },
  "zero-range-zeroes": () => {
    const fd = make("f", pattern(4 * KIB64));
    p.fallocate(fd, ZERO, KIB64 + 10, 100);
    allZero(p.pread(fd, 100, KIB64 + 10), "the range");
    equal(p.pread(fd, KIB64, 0), pattern(KIB64), "what is before");
  },
  "zero-range-grows": () => {
    const fd = make("f", "abc");
    p.fallocate(fd, ZERO, 1, 9999);
    equal(p.fstat(fd).size, 10_000, "size");
    holds(p.pread(fd, 3, 0), "a\0\0", "content");
  },
  "zero-range-keep-size": () => {
    const fd = make("f", "abc");
    p.fallocate(fd, ZERO | KEEP, 0, 9999);
    equal(p.fstat(fd).size, 3, "size");
    allZero(p.pread(fd, 3, 0), "content");
  },
  "collapse-range": () => {
    const fd = make("f", pattern(3 * KIB64));
    p.fallocate(fd, p.FALLOC_COLLAPSE_RANGE, KIB64, KIB64);
    equal(p.fstat(fd).size, 2 * KIB64, "size");
    equal(p.pread(fd, KIB64, KIB64), pattern(KIB64, 2 * KIB64), "what moved");
  },
  "insert-range": () => {
    const fd = make("f", pattern(2 * KIB64));
    p.fallocate(fd, p.FALLOC_INSERT_RANGE, KIB64, KIB64);
    equal(p.fstat(fd).size, 3 * KIB64, "size");
    equal(p.pread(fd, KIB64, 2 * KIB64), pattern(KIB64, KIB64), "what moved");
  },
  "length-0": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.fallocate(fd, 0, 0, 0));
  },
  "negative-offset": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.fallocate(fd, 0, -1, 10));
  },
  "negative-length": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.fallocate(fd, 0, 0, -10));
  },
  "read-only-descriptor": () => {
    put("f", "abc");
    const fd = p.open("f", p.O_RDONLY);
    refuses("EBADF", () => p.fallocate(fd, 0, 0, 10));
  },
  fifo: () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    const fd = p.open("fifo", p.O_RDWR | p.O_NONBLOCK);
    refuses("ESPIPE", () => p.fallocate(fd, 0, 0, 10));
  },
  "too-large": () => {
    const fd = make("f");
    refuses("EFBIG", () => p.fallocate(fd, 0, 2 ** 60, 4096));
  },
  "unknown-mode": () => {
    const fd = make("f", "abc");
    refuses("EOPNOTSUPP", () => p.fallocate(fd, 0x1000, 0, 10));
  },
  "changes-times": () => {
    const fd = make("f", pattern(10_000));
    const seen = changed("f", () => p.fallocate(fd, PUNCH | KEEP, 0, 4096));
    equal(seen, ["mtime", "ctime"], "changed times");
  },
});

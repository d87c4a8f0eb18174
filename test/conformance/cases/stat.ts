/** stat(2), statx(2), statfs(2) and access(2). */
import { area } from "../harness/case.ts";
import { check, equal, refuses, rejects } from "../harness/expect.ts";
import { make, owned, ownedDirectory, pattern, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("stat", {
  "file-and-descriptor-agree": () => {
    const fd = make("f", "data");
    equal(p.fstat(fd), p.stat("f"), "fstat and stat");
  },
  "stable-inode-numbers": () => {
    put("f");
    const { ino } = p.stat("f");
    for (let round = 0; round < 50; round++) equal(p.stat("f").ino, ino, "inode");
    check(ino > 0n, "inode number 0");
  },
  "distinct-inode-numbers": () => {
    const inodes = new Set<bigint>();
    for (let index = 0; index < 200; index++) {
      put(`f${index}`);
      inodes.add(p.stat(`f${index}`).ino);
    }
    equal(inodes.size, 200, "inode numbers");
  },
  "one-device-for-all": () => {
    p.mkdir("d");
    put("d/f");
    const devices = [".", "d", "d/f"].map((path) => {
      const { devMajor, devMinor } = p.stat(path);
      return `${devMajor}:${devMinor}`;
    });
    equal(new Set(devices).size, 1, "devices");
  },
  "dot-and-name-agree": () => {
    p.mkdir("d");
    p.mkdir("d/e");
    equal(p.stat("d/.").ino, p.stat("d").ino, "inode of .");
    equal(p.stat("d/e/..").ino, p.stat("d").ino, "inode of ..");
  },
  "blocks-grow-with-data": () => {
    const fd = make("f", pattern(1 << 20));
    p.fsync(fd);
    const { blocks, blksize } = p.fstat(fd);
    check(blocks * 512 >= 1 << 20, `1 MiB of data has ${blocks} blocks`);
    check(blksize >= 512, `a block size of ${blksize}`);
  },
  "stat-follows-lstat-does-not": () => {
    put("f", "data");
    p.symlink("f", "link");
    equal(p.stat("link").mode & p.S_IFMT, p.S_IFREG, "type by stat");
    equal(p.lstat("link").mode & p.S_IFMT, p.S_IFLNK, "type by lstat");
  },
  "empty-path-is-the-descriptor": () => {
    const fd = make("f", "data");
    equal(p.statx("", p.AT_EMPTY_PATH, p.STATX_BASIC_STATS, fd).size, 4, "size");
    refuses("ENOENT", () => p.statx("", 0, p.STATX_BASIC_STATS, fd));
  },
  "needs-no-permission-on-the-file": async (context) => {
    owned("f", 0, 0, 0);
    const user = await context.user(1001);
    equal((await user.stat("f")).size, 1, "size");
  },
  "statx-birth-time": () => {
    put("f");
    const { btime, mask } = p.statx("f");
    check((mask & p.STATX_BTIME) !== 0, "no birth time in the mask");
    check(btime > 0n, "birth time 0");
    p.pause(15);
    put("f", "more");
    p.rename("f", "g");
    equal(p.statx("g").btime, btime, "birth time after write and rename");
  },
  "statx-birth-time-is-its-own": () => {
    put("a");
    p.pause(15);
    put("b");
    check(p.statx("b").btime > p.statx("a").btime, "the younger file is not younger");
  },
  "statx-basic-mask": () => {
    put("f", "data");
    const { mask } = p.statx("f", 0, p.STATX_BASIC_STATS);
    equal(mask & p.STATX_BASIC_STATS, p.STATX_BASIC_STATS, "mask");
  },
  "statx-force-and-dont-sync": () => {
    const fd = make("f", "data");
    p.write(fd, "more");
    equal(p.statx("f", 0x2000, p.STATX_SIZE).size, 4, "size with FORCE_SYNC");
    equal(p.statx("f", 0x4000, p.STATX_SIZE).size, 4, "size with DONT_SYNC");
  },
  "statx-bad-flags": () => {
    put("f");
    refuses("EINVAL", () => p.statx("f", 0x6000));
    refuses("EINVAL", () => p.statx("f", 0, 0x80000000 | 0));
  },
  "statx-many-files-of-a-directory": () => {
    const fd = p.open(".", p.O_RDONLY | p.O_DIRECTORY);
    for (let index = 0; index < 100; index++) put(`f${index}`, "x".repeat(index));
    for (let index = 0; index < 100; index++) {
      equal(p.stat(`f${index}`, fd).size, index, `size of f${index}`);
    }
  },
});

export const fileSystem = area("statfs", {
  sane: () => {
    const found = p.statfs(".");
    check(found.blockSize >= 512, `block size ${found.blockSize}`);
    check(found.blocks > 0, "no blocks");
    check(found.blocksFree <= found.blocks, "more blocks free than there are");
    check(found.blocksAvailable <= found.blocksFree, "more available than free");
    check(found.filesFree <= found.files, "more inodes free than there are");
    equal(found.nameLength, 255, "longest name");
  },
  "path-and-descriptor-agree": () => {
    const fd = make("f");
    const [a, b] = [p.statfs("f"), p.fstatfs(fd)];
    equal([a.type, a.blockSize, a.blocks], [b.type, b.blockSize, b.blocks], "statfs and fstatfs");
  },
  "data-takes-blocks": () => {
    const fd = make("f");
    p.fallocate(fd, 0, 0, 128 << 20);
    const before = p.statfs(".").blocksFree;
    p.ftruncate(fd, 0);
    p.fsync(fd);
    check(p.statfs(".").blocksFree > before, "freeing 128 MiB freed no blocks");
  },
});

export const permission = area("access", {
  "root-may-read-and-write-all": () => {
    put("f", "", 0);
    p.access("f", p.R_OK | p.W_OK);
    refuses("EACCES", () => p.access("f", p.X_OK));
    p.chmod("f", 0o001);
    p.access("f", p.X_OK);
  },
  "of-a-missing-file": () => {
    refuses("ENOENT", () => p.access("f", p.F_OK));
  },
  "unknown-mode": () => {
    put("f");
    refuses("EINVAL", () => p.access("f", 8));
  },
  "by-owner-bits": async (context) => {
    owned("f", 1001, 1002, 0o402);
    const user = await context.user(1001, 1001, [1002]);
    await user.access("f", p.R_OK);
    await rejects("EACCES", user.access("f", p.W_OK));
  },
  "by-group-bits": async (context) => {
    owned("f", 0, 1002, 0o604);
    const user = await context.user(1001, 1001, [1002]);
    await rejects("EACCES", user.access("f", p.R_OK));
  },
  "by-other-bits": async (context) => {
    owned("f", 0, 0, 0o001);
    const user = await context.user(1001);
    await user.access("f", p.X_OK);
    await rejects("EACCES", user.access("f", p.R_OK));
  },
  "directory-search": async (context) => {
    ownedDirectory("d", 0, 0, 0o701);
    const user = await context.user(1001);
    await user.access("d", p.X_OK);
    await rejects("EACCES", user.access("d", p.R_OK));
  },
  "real-and-effective-user": async (context) => {
    owned("f", 1001, 1001, 0o600);
    // Real uid 0, effective uid 1002: access(2) asks for the real one.
    const actor = await context.peer();
    await actor.setEffectiveUid(1002);
    await actor.access("f", p.R_OK);
    await rejects("EACCES", actor.access("f", p.R_OK, p.AT_EACCESS));
    await actor.actor.kill();
  },
  "through-a-symlink": async (context) => {
    owned("f", 0, 0, 0o600);
    p.symlink("f", "link");
    const user = await context.user(1001);
    await rejects("EACCES", user.access("link", p.R_OK));
    await user.access("link", p.F_OK);
  },
});

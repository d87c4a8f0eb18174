/** mknod(2): devices, whiteouts, FIFOs, sockets, files. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { modeOf, put, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

function device(type: number, major: number, minor: number) {
  return () => {
    p.mknod("node", type | 0o640, p.makedev(major, minor));
    const { mode, rdevMajor, rdevMinor, size } = p.stat("node");
    equal(mode, type | 0o640, "mode");
    equal([rdevMajor, rdevMinor], [major, minor], "device");
    equal(size, 0, "size");
  };
}

export const cases = area("mknod", {
  "whiteout-0-0": device(p.S_IFCHR, 0, 0),
  "character-1-3": device(p.S_IFCHR, 1, 3),
  "character-large-minor": device(p.S_IFCHR, 511, 1_048_575),
  "block-8-1": device(p.S_IFBLK, 8, 1),
  "block-259-1048575": device(p.S_IFBLK, 259, 1_048_575),
  "block-minor-256": device(p.S_IFBLK, 7, 256),
  "block-4095-0": device(p.S_IFBLK, 4095, 0),
  "device-types-in-the-listing": () => {
    p.mknod("a", p.S_IFBLK | 0o600, p.makedev(7, 1));
    p.mknod("b", p.S_IFCHR | 0o600, p.makedev(1, 3));
    p.mknod("c", p.S_IFIFO | 0o600);
    p.mknod("d", p.S_IFSOCK | 0o600);
    const types = p.entries(".").sort((a, b) => Buffer.compare(a.name, b.name));
    equal(
      types.map((entry) => entry.type),
      [p.DT_BLK, p.DT_CHR, p.DT_FIFO, p.DT_SOCK],
      "types",
    );
  },
  "null-device-works": {
    needs: "dev",
    run: () => {
      p.mknod("null", p.S_IFCHR | 0o666, p.makedev(1, 3));
      const fd = p.open("null", p.O_RDWR);
      equal(p.write(fd, "anything"), 8, "bytes written");
      equal(p.read(fd, 10).length, 0, "bytes read");
    },
  },
  "zero-device-works": {
    needs: "dev",
    run: () => {
      p.mknod("zero", p.S_IFCHR | 0o666, p.makedev(1, 5));
      const fd = p.open("zero", p.O_RDONLY);
      equal(p.read(fd, 100), Buffer.alloc(100), "content");
    },
  },
  "whiteout-is-not-opened": {
    needs: "dev",
    run: () => {
      p.mknod("w", p.S_IFCHR, 0);
      refuses("ENXIO", () => p.open("w", p.O_RDONLY));
    },
  },
  "device-by-user": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    await rejects("EPERM", user.mknod("node", p.S_IFCHR | 0o600, p.makedev(1, 3)));
    await rejects("EPERM", user.mknod("node", p.S_IFBLK | 0o600, p.makedev(8, 1)));
  },
  "whiteout-by-user": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    await user.mknod("w", p.S_IFCHR, 0);
    equal([typeOf("w"), p.stat("w").uid], [p.S_IFCHR, 1001], "type and owner");
  },
  fifo: () => {
    p.mknod("fifo", p.S_IFIFO | 0o666);
    equal([typeOf("fifo"), modeOf("fifo")], [p.S_IFIFO, 0o644], "type and mode");
  },
  "fifo-by-user": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    await user.mknod("fifo", p.S_IFIFO | 0o600);
    equal(p.stat("fifo").uid, 1001, "owner");
  },
  socket: () => {
    p.mknod("s", p.S_IFSOCK | 0o600);
    equal([typeOf("s"), modeOf("s")], [p.S_IFSOCK, 0o600], "type and mode");
  },
  "regular-file": () => {
    p.mknod("f", p.S_IFREG | 0o640);
    equal([typeOf("f"), modeOf("f"), p.stat("f").size], [p.S_IFREG, 0o640, 0], "file");
    put("f", "data");
    holds(p.read(p.open("f", p.O_RDONLY), 8), "data", "content");
  },
  "type-0-is-a-file": () => {
    p.mknod("f", 0o600);
    equal(typeOf("f"), p.S_IFREG, "type");
  },
  "type-directory": () => {
    refuses("EPERM", () => p.mknod("d", p.S_IFDIR | 0o755));
  },
  "unknown-type": () => {
    refuses("EINVAL", () => p.mknod("x", p.S_IFLNK | 0o755));
  },
  existing: () => {
    put("f");
    refuses("EEXIST", () => p.mknod("f", p.S_IFIFO | 0o600));
    p.symlink("nowhere", "link");
    refuses("EEXIST", () => p.mknod("link", p.S_IFIFO | 0o600));
  },
  umask: () => {
    p.umask(0o077);
    p.mknod("fifo", p.S_IFIFO | 0o666);
    equal(modeOf("fifo"), 0o600, "mode");
  },
  "directory-not-writable": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.mknod("fifo", p.S_IFIFO | 0o600));
  },
  "trailing-slash": () => {
    refuses("ENOENT", () => p.mknod("fifo/", p.S_IFIFO | 0o600));
  },
  "device-chmod-chown-rename": () => {
    p.mknod("node", p.S_IFBLK | 0o600, p.makedev(259, 70_000));
    p.chmod("node", 0o664);
    p.chown("node", 1001, 1002);
    p.rename("node", "moved");
    const { mode, uid, gid, rdevMinor } = p.stat("moved");
    equal([mode & 0o777, uid, gid, rdevMinor], [0o664, 1001, 1002, 70_000], "attributes");
  },
});

/** ioctl(2) on files: inode flags, generation, and what is refused; file handles. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses, rejects } from "../harness/expect.ts";
import { get, make, owned, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NOATIME_FL, FS_NODUMP_FL } = p;

/** Does something while a file has a flag, and takes the flag off again. */
function withFlag(fd: number, flag: number, action: () => void): void {
  const flags = p.getFlags(fd);
  p.setFlags(fd, flags | flag);
  try {
    action();
  } finally {
    p.setFlags(fd, flags);
  }
}

/** How long an inode without a name or user may take to be gone. */
const GONE_TRIES = 100;
const GONE_PAUSE_MS = 10;

/** Whether a file can be opened by its handle; it is closed again. */
function opens(mount: number, handle: Buffer): boolean {
  try {
    p.close(p.openByHandle(mount, handle, p.O_RDONLY));
    return true;
  } catch {
    return false;
  }
}

export const cases = area("inode-flags", {
  "round-trip": () => {
    const fd = make("f");
    const before = p.getFlags(fd);
    p.setFlags(fd, before | FS_NODUMP_FL | FS_NOATIME_FL);
    equal(p.getFlags(fd), before | FS_NODUMP_FL | FS_NOATIME_FL, "flags");
    p.setFlags(fd, before);
    equal(p.getFlags(fd), before, "flags taken off");
  },
  "on-a-directory": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    const before = p.getFlags(fd);
    p.setFlags(fd, before | FS_NODUMP_FL);
    equal(p.getFlags(fd), before | FS_NODUMP_FL, "flags");
  },
  "seen-by-another-process": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDONLY);
    p.setFlags(fd, p.getFlags(fd) | FS_NODUMP_FL);
    equal((await peer.getFlags(other)) & FS_NODUMP_FL, FS_NODUMP_FL, "flag");
  },
  immutable: () => {
    const fd = make("f", "data");
    withFlag(fd, FS_IMMUTABLE_FL, () => {
      refuses("EPERM", () => p.open("f", p.O_WRONLY));
      refuses("EPERM", () => p.unlink("f"));
      refuses("EPERM", () => p.rename("f", "g"));
      refuses("EPERM", () => p.link("f", "g"));
      refuses("EPERM", () => p.chmod("f", 0o600));
      holds(get("f"), "data", "content");
    });
    p.unlink("f");
  },
  "append-only": () => {
    const fd = make("f", "data");
    withFlag(fd, FS_APPEND_FL, () => {
      refuses("EPERM", () => p.open("f", p.O_WRONLY));
      refuses("EPERM", () => p.truncate("f", 0));
      p.write(p.open("f", p.O_WRONLY | p.O_APPEND), "more");
    });
    holds(get("f"), "datamore", "content");
  },
  "by-another-user": async (context) => {
    owned("f", 0, 0, 0o666);
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_RDWR);
    const flags = await user.getFlags(fd);
    await rejects(["EPERM", "EACCES"], user.setFlags(fd, flags | FS_NODUMP_FL));
  },
  "immutable-by-the-owner": async (context) => {
    owned("f", 1001, 1001, 0o666);
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_RDWR);
    const flags = await user.getFlags(fd);
    await rejects("EPERM", user.setFlags(fd, flags | FS_IMMUTABLE_FL));
    await user.setFlags(fd, flags | FS_NODUMP_FL);
  },
  "generation-is-stable": () => {
    const fd = make("f");
    const generation = p.getVersion(fd);
    p.write(fd, "data");
    p.rename("f", "g");
    equal(p.getVersion(p.open("g", p.O_RDONLY)), generation, "generation");
  },
  "extended-flags": () => {
    const fd = make("f");
    const before = p.getExtendedFlags(fd);
    p.setFlags(fd, p.getFlags(fd) | FS_NODUMP_FL);
    // FS_XFLAG_NODUMP
    equal(p.getExtendedFlags(fd), before | 0x80, "flags");
  },
  "unknown-request": () => {
    const fd = make("f");
    refuses("ENOTTY", () => p.ioctl(fd, 0x1234, 0));
  },
  "terminal-request": () => {
    const fd = make("f");
    // TCGETS: what isatty(3) asks.
    refuses("ENOTTY", () => p.ioctl(fd, 0x5401, 0));
  },
  "clone-is-refused": () => {
    const from = make("a", "data");
    const to = make("b");
    refuses("EOPNOTSUPP", () => p.clone(to, from));
  },
});

export const handles = area("file-handle", {
  "opens-the-file": () => {
    put("f", "data");
    const handle = p.nameToHandle("f");
    const fd = p.openByHandle(p.open(".", p.O_RDONLY), handle, p.O_RDONLY);
    holds(p.read(fd, 8), "data", "content");
    equal(p.fstat(fd).ino, p.stat("f").ino, "inodes");
  },
  "follows-a-rename": () => {
    put("f", "data");
    const handle = p.nameToHandle("f");
    p.mkdir("d");
    p.rename("f", "d/g");
    const fd = p.openByHandle(p.open(".", p.O_RDONLY), handle, p.O_RDONLY);
    holds(p.read(fd, 8), "data", "content");
  },
  "of-a-directory": () => {
    p.mkdir("d");
    put("d/f", "data");
    const handle = p.nameToHandle("d");
    const mount = p.open(".", p.O_RDONLY);
    const fd = p.openByHandle(mount, handle, p.O_RDONLY | p.O_DIRECTORY);
    holds(p.read(p.openat(fd, "f", p.O_RDONLY), 8), "data", "content");
  },
  "of-a-removed-file": () => {
    put("f");
    const handle = p.nameToHandle("f");
    const mount = p.open(".", p.O_RDONLY);
    p.unlink("f");
    // FUSE has the kernel keep the inode until the last close has been answered, which nobody waits for.
    for (let i = 0; i < GONE_TRIES && opens(mount, handle); i++) p.pause(GONE_PAUSE_MS);
    refuses("ESTALE", () => p.openByHandle(mount, handle, p.O_RDONLY));
  },
  "differs-for-two-files": () => {
    put("a");
    put("b");
    check(!p.nameToHandle("a").equals(p.nameToHandle("b")), "two files have one handle");
    equal(p.nameToHandle("a"), p.nameToHandle("a"), "the same handle twice");
  },
  "by-a-user": async (context) => {
    owned("f", 1001, 1001, 0o644);
    const user = await context.user(1001);
    const handle = await user.nameToHandle("f");
    const mount = await user.open(".", p.O_RDONLY);
    await rejects("EPERM", user.openByHandle(mount, handle, p.O_RDONLY));
  },
});

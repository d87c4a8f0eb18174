/** fsync(2), fdatasync(2), syncfs(2), sync_file_range(2). */
import { area } from "../harness/case.ts";
import { equal, refuses } from "../harness/expect.ts";
import { get, make, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("sync", {
  "fsync-file": () => {
    const fd = make("f", pattern(100_000));
    p.fsync(fd);
    equal(get("f"), pattern(100_000), "content");
  },
  "fdatasync-file": () => {
    const fd = make("f", pattern(100_000));
    p.fdatasync(fd);
    equal(get("f"), pattern(100_000), "content");
  },
  "fsync-directory": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    put("d/f");
    p.fsync(fd);
    p.fdatasync(fd);
  },
  "fsync-read-only-descriptor": () => {
    put("f", "data");
    p.fsync(p.open("f", p.O_RDONLY));
  },
  "fsync-fifo": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    const fd = p.open("fifo", p.O_RDWR | p.O_NONBLOCK);
    refuses("EINVAL", () => p.fsync(fd));
  },
  "fsync-bad-descriptor": () => {
    refuses("EBADF", () => p.fsync(-1));
    const fd = p.open(".", p.O_PATH);
    refuses("EBADF", () => p.fsync(fd));
  },
  "syncfs-file-and-directory": () => {
    const fd = make("f", "data");
    p.syncfs(fd);
    p.syncfs(p.open(".", p.O_RDONLY | p.O_DIRECTORY));
  },
  "syncfs-bad-descriptor": () => {
    refuses("EBADF", () => p.syncfs(-1));
  },
  "sync-file-range": () => {
    const fd = make("f", pattern(100_000));
    // SYNC_FILE_RANGE_WAIT_BEFORE | WRITE | WAIT_AFTER
    p.syncFileRange(fd, 0, 100_000, 7);
    refuses("EINVAL", () => p.syncFileRange(fd, 0, 10, 0x100));
  },
  "rename-into-place": () => {
    put("config", "old");
    const fd = make("config.new", "new");
    p.fsync(fd);
    p.close(fd);
    p.rename("config.new", "config");
    p.fsync(p.open(".", p.O_RDONLY | p.O_DIRECTORY));
    equal(text("config"), "new", "content");
  },
  "read-back-after-dropping-the-cache": () => {
    const fd = make("f", pattern(300_000));
    p.fsync(fd);
    p.fadvise(fd, 0, 0, 4);
    equal(get("f"), pattern(300_000), "content");
  },
});

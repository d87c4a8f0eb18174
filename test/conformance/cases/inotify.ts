/** inotify(7) for changes that are made through the same mount. */
import { area } from "../harness/case.ts";
import { check, equal, refuses } from "../harness/expect.ts";
import { put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

/** "mask name" of the events, masks by their names. */
function events(fd: number): string[] {
  return p.notices(fd).map(({ mask, name }) => {
    const bits = Object.entries(NAMES).filter(([, bit]) => (mask & bit) !== 0);
    return `${bits.map(([bit]) => bit).join("|")} ${name}`.trim();
  });
}

const NAMES = {
  access: p.IN_ACCESS,
  modify: p.IN_MODIFY,
  attrib: p.IN_ATTRIB,
  "close-write": p.IN_CLOSE_WRITE,
  open: p.IN_OPEN,
  "moved-from": p.IN_MOVED_FROM,
  "moved-to": p.IN_MOVED_TO,
  create: p.IN_CREATE,
  delete: p.IN_DELETE,
  "delete-self": p.IN_DELETE_SELF,
  "move-self": p.IN_MOVE_SELF,
  directory: p.IN_ISDIR,
};

const NAME_SPACE = p.IN_CREATE | p.IN_DELETE | p.IN_MOVED_FROM | p.IN_MOVED_TO;

export const cases = area("inotify", {
  "create-and-delete": () => {
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE);
    put("f");
    p.unlink("f");
    equal(events(fd), ["create f", "delete f"], "events");
  },
  directories: () => {
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE);
    p.mkdir("d");
    p.rmdir("d");
    equal(events(fd), ["create|directory d", "delete|directory d"], "events");
  },
  "link-symlink-and-node": () => {
    put("f");
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE);
    p.link("f", "hard");
    p.symlink("f", "soft");
    p.mknod("fifo", p.S_IFIFO | 0o600);
    equal(events(fd), ["create hard", "create soft", "create fifo"], "events");
  },
  "move-has-one-cookie": () => {
    put("a");
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE);
    p.rename("a", "b");
    const seen = p.notices(fd);
    equal(
      seen.map(({ name }) => name),
      ["a", "b"],
      "names",
    );
    check(seen[0]?.cookie !== 0 && seen[0]?.cookie === seen[1]?.cookie, "cookies differ");
  },
  "move-between-directories": () => {
    p.mkdir("from");
    p.mkdir("to");
    put("from/a");
    const fd = p.notifier();
    const from = p.watch(fd, "from", NAME_SPACE);
    const to = p.watch(fd, "to", NAME_SPACE);
    p.rename("from/a", "to/b");
    equal(
      p.notices(fd).map(({ watch, name }) => [watch, name]),
      [
        [from, "a"],
        [to, "b"],
      ],
      "watches and names",
    );
  },
  modify: () => {
    put("f", "data");
    const fd = p.notifier();
    p.watch(fd, ".", p.IN_MODIFY | p.IN_CLOSE_WRITE);
    const file = p.open("f", p.O_WRONLY);
    p.write(file, "x");
    equal(events(fd), ["modify f"], "events by write");
    p.close(file);
    equal(events(fd), ["close-write f"], "events by close");
    p.truncate("f", 0);
    equal(events(fd), ["modify f"], "events by truncate");
  },
  attributes: () => {
    put("f");
    const fd = p.notifier();
    p.watch(fd, "f", p.IN_ATTRIB);
    p.chmod("f", 0o600);
    equal(events(fd), ["attrib"], "events by chmod");
    p.chown("f", 1001, 1001);
    equal(events(fd), ["attrib"], "events by chown");
    p.touch("f");
    equal(events(fd), ["attrib"], "events by utimensat");
    p.setxattr("f", "user.a", "1");
    equal(events(fd), ["attrib"], "events by setxattr");
  },
  "open-and-access": () => {
    put("f", "data");
    const fd = p.notifier();
    p.watch(fd, "f", p.IN_OPEN | p.IN_ACCESS);
    p.read(p.open("f", p.O_RDONLY), 4);
    equal(events(fd), ["open", "access"], "events");
  },
  "watched-file-is-deleted": () => {
    put("f");
    const fd = p.notifier();
    p.watch(fd, "f", p.IN_DELETE_SELF | p.IN_ATTRIB);
    p.unlink("f");
    const seen = events(fd);
    equal(seen.slice(0, 2), ["attrib", "delete-self"], "events");
  },
  "watched-file-is-moved": () => {
    put("f");
    const fd = p.notifier();
    p.watch(fd, "f", p.IN_MOVE_SELF);
    p.rename("f", "g");
    equal(events(fd), ["move-self"], "events");
  },
  "by-another-process": async (context) => {
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE | p.IN_CLOSE_WRITE);
    const peer = await context.peer();
    const file = await peer.open("f", p.O_CREAT | p.O_WRONLY);
    await peer.write(file, "x");
    await peer.close(file);
    await peer.rename("f", "g");
    await peer.unlink("g");
    equal(
      events(fd),
      ["create f", "close-write f", "moved-from f", "moved-to g", "delete g"],
      "events",
    );
  },
  "reading-causes-no-change-events": () => {
    put("f", "data");
    const fd = p.notifier();
    p.watch(fd, ".", NAME_SPACE | p.IN_MODIFY | p.IN_ATTRIB | p.IN_CLOSE_WRITE);
    p.read(p.open("f", p.O_RDONLY), 4);
    p.stat("f");
    p.list(".");
    equal(events(fd), [], "events");
  },
  "removed-watch-is-silent": () => {
    const fd = p.notifier();
    const id = p.watch(fd, ".", NAME_SPACE);
    p.unwatch(fd, id);
    p.notices(fd);
    put("f");
    equal(events(fd), [], "events");
  },
  "watch-of-a-missing-file": () => {
    const fd = p.notifier();
    refuses("ENOENT", () => p.watch(fd, "f", p.IN_MODIFY));
  },
  "hundred-files": () => {
    const fd = p.notifier();
    p.watch(fd, ".", p.IN_CREATE);
    const expected: string[] = [];
    for (let index = 0; index < 100; index++) {
      put(`f${index}`);
      expected.push(`create f${index}`);
    }
    equal(events(fd), expected, "events");
  },
});

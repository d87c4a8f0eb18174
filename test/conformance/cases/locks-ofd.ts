/** Locks of open file descriptions: fcntl(2) with F_OFD_*. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { make } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { F_RDLCK, F_UNLCK, F_WRLCK, O_RDWR } = p;

export const cases = area("locks-ofd", {
  "conflict-between-two-opens-of-one-process": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK);
    refuses("EAGAIN", () => p.setOfdLock(other, F_WRLCK));
    refuses("EAGAIN", () => p.setOfdLock(other, F_RDLCK));
  },
  "shared-by-dup": () => {
    const fd = make("f");
    p.setOfdLock(fd, F_WRLCK);
    p.setOfdLock(p.dup(fd), F_WRLCK);
  },
  "close-of-another-open-keeps-it": async (context) => {
    const fd = make("f");
    p.setOfdLock(fd, F_WRLCK);
    p.close(p.open("f", O_RDWR));
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    await rejects("EAGAIN", peer.setOfdLock(other, F_WRLCK));
  },
  "last-close-releases": async (context) => {
    const fd = make("f");
    p.setOfdLock(fd, F_WRLCK);
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    const waiting = peer.waitOfdLock(other, F_WRLCK);
    await peer.actor.untilBlocked();
    p.close(fd);
    await waiting;
  },
  "read-shares": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setOfdLock(fd, F_RDLCK);
    await peer.setOfdLock(other, F_RDLCK);
    refuses("EAGAIN", () => p.setOfdLock(fd, F_WRLCK));
  },
  "ranges-are-separate": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK, 0, 10);
    p.setOfdLock(other, F_WRLCK, 10, 10);
    refuses("EAGAIN", () => p.setOfdLock(other, F_WRLCK, 9, 1));
  },
  "unlock-lets-in": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK);
    p.setOfdLock(fd, F_UNLCK);
    p.setOfdLock(other, F_WRLCK);
  },
  "conflict-with-posix-locks": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK));
    p.setOfdLock(fd, F_UNLCK);
    await peer.setLock(other, F_WRLCK);
    refuses("EAGAIN", () => p.setOfdLock(fd, F_WRLCK));
  },
  "getlk-tells-pid-minus-1": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK, 5, 10);
    equal(
      p.getOfdLock(other, F_WRLCK),
      { type: F_WRLCK, whence: 0, start: 5, length: 10, pid: -1 },
      "lock in the way",
    );
  },
  "getlk-of-a-free-range": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK, 5, 10);
    equal(p.getOfdLock(other, F_WRLCK, 15, 5), null, "lock in the way");
  },
  "waiter-is-granted": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK);
    const waiting = peer.waitOfdLock(other, F_WRLCK);
    await peer.actor.untilBlocked();
    p.setOfdLock(fd, F_UNLCK);
    await waiting;
    refuses("EAGAIN", () => p.setOfdLock(fd, F_RDLCK));
  },
  "signal-interrupts-the-wait": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setOfdLock(fd, F_WRLCK);
    const waiting = rejects("EINTR", peer.waitOfdLock(other, F_WRLCK));
    await peer.actor.untilBlocked();
    peer.actor.signal("SIGUSR2");
    await waiting;
  },
  "exit-releases": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.setOfdLock(await peer.open("f", O_RDWR), F_WRLCK);
    refuses("EAGAIN", () => p.setOfdLock(fd, F_WRLCK));
    await peer.actor.kill();
    p.waitOfdLock(fd, F_WRLCK);
  },
  "needs-the-open-mode": () => {
    make("f");
    const reader = p.open("f", p.O_RDONLY);
    refuses("EBADF", () => p.setOfdLock(reader, F_WRLCK));
  },
});

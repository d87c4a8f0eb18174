/** POSIX locks: fcntl(2) with F_SETLK, F_SETLKW and F_GETLK. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { make, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { F_RDLCK, F_UNLCK, F_WRLCK, O_RDWR } = p;

export const cases = area("locks-posix", {
  "write-excludes-both": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK);
    await rejects(["EAGAIN", "EACCES"], peer.setLock(other, F_WRLCK));
    await rejects(["EAGAIN", "EACCES"], peer.setLock(other, F_RDLCK));
  },
  "read-shares": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_RDLCK);
    await peer.setLock(other, F_RDLCK);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK));
  },
  "own-locks-do-not-conflict": () => {
    const fd = make("f");
    p.setLock(fd, F_WRLCK);
    p.setLock(p.open("f", O_RDWR), F_WRLCK);
  },
  "ranges-are-separate": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 100, 50);
    await peer.setLock(other, F_WRLCK, 0, 100);
    await peer.setLock(other, F_WRLCK, 150, 10);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 149, 1));
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 99, 2));
  },
  "length-0-reaches-to-the-end": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 1000, 0);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 2 ** 40, 1));
    await peer.setLock(other, F_WRLCK, 0, 1000);
  },
  "beyond-2-32": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 2 ** 32, 10);
    await peer.setLock(other, F_WRLCK, 0, 10);
    await rejects("EAGAIN", peer.setLock(other, F_RDLCK, 2 ** 32 + 9, 1));
  },
  "unlock-splits": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 0, 100);
    p.setLock(fd, F_UNLCK, 40, 20);
    await peer.setLock(other, F_WRLCK, 40, 20);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 39, 1));
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 60, 1));
  },
  "part-becomes-shared": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 0, 100);
    p.setLock(fd, F_RDLCK, 50, 50);
    await peer.setLock(other, F_RDLCK, 50, 50);
    await rejects("EAGAIN", peer.setLock(other, F_RDLCK, 0, 50));
  },
  "negative-length": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 100, -10);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 90, 1));
    await peer.setLock(other, F_WRLCK, 100, 1);
    await peer.setLock(other, F_WRLCK, 89, 1);
  },
  "from-the-end-of-the-file": async (context) => {
    const fd = make("f", "x".repeat(100));
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, -10, 10, p.SEEK_END);
    await rejects("EAGAIN", peer.setLock(other, F_WRLCK, 95, 1));
    await peer.setLock(other, F_WRLCK, 89, 1);
  },
  "before-the-start": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.setLock(fd, F_WRLCK, -1, 1));
    refuses("EINVAL", () => p.setLock(fd, F_WRLCK, 5, -10));
  },
  "unknown-type": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.setLock(fd, 77));
  },
  "needs-the-open-mode": () => {
    put("f");
    const [reader, writer] = [p.open("f", p.O_RDONLY), p.open("f", p.O_WRONLY)];
    refuses("EBADF", () => p.setLock(reader, F_WRLCK));
    refuses("EBADF", () => p.setLock(writer, F_RDLCK));
    p.setLock(reader, F_RDLCK);
  },
  "getlk-tells-holder-and-range": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), F_WRLCK, 10, 20);
    equal(
      p.getLock(fd, F_RDLCK, 0, 15),
      { type: F_WRLCK, whence: 0, start: 10, length: 20, pid: peer.actor.pid },
      "lock in the way",
    );
  },
  "getlk-of-a-free-range": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), F_WRLCK, 10, 20);
    equal(p.getLock(fd, F_WRLCK, 30, 5), null, "lock in the way");
  },
  "getlk-does-not-tell-own": () => {
    const fd = make("f");
    p.setLock(fd, F_WRLCK);
    equal(p.getLock(fd, F_WRLCK), null, "lock in the way");
  },
  "getlk-read-lock-lets-readers": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), F_RDLCK);
    equal(p.getLock(fd, F_RDLCK), null, "lock in the way of a reader");
    equal(p.getLock(fd, F_WRLCK)?.type, F_RDLCK, "lock in the way of a writer");
  },
  "any-close-releases": async (context) => {
    const fd = make("f");
    p.setLock(fd, F_WRLCK);
    p.close(p.open("f", p.O_RDONLY));
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), F_WRLCK);
  },
  "exit-releases": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), F_WRLCK);
    refuses("EAGAIN", () => p.setLock(fd, F_WRLCK));
    await peer.actor.kill();
    p.waitLock(fd, F_WRLCK);
  },
  "waiter-is-granted": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK);
    const waiting = peer.waitLock(other, F_WRLCK);
    await peer.actor.untilBlocked();
    p.setLock(fd, F_UNLCK);
    await waiting;
    refuses("EAGAIN", () => p.setLock(fd, F_WRLCK));
  },
  "waiter-is-granted-by-close": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK);
    const waiting = peer.waitLock(other, F_RDLCK);
    await peer.actor.untilBlocked();
    p.close(fd);
    await waiting;
  },
  "waiter-for-a-part-is-granted": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK, 0, 100);
    const waiting = peer.waitLock(other, F_WRLCK, 90, 5);
    await peer.actor.untilBlocked();
    p.setLock(fd, F_UNLCK, 80, 20);
    await waiting;
    equal(p.getLock(fd, F_WRLCK, 80, 20)?.start, 90, "start of the peer's lock");
  },
  "signal-interrupts-the-wait": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK);
    const waiting = rejects("EINTR", peer.waitLock(other, F_WRLCK));
    await peer.actor.untilBlocked();
    peer.actor.signal("SIGUSR2");
    await waiting;
    p.setLock(fd, F_UNLCK);
    equal(p.getLock(fd, F_WRLCK), null, "lock after the interrupted wait");
  },
  "killed-waiter-leaves-nothing": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.setLock(fd, F_WRLCK);
    const waiting = peer.waitLock(other, F_WRLCK).catch(() => "ended");
    await peer.actor.untilBlocked();
    await peer.actor.kill();
    equal(await waiting, "ended", "the wait");
    p.setLock(fd, F_UNLCK);
    const third = await context.peer();
    await third.waitLock(await third.open("f", O_RDWR), F_WRLCK);
  },
  "deadlock-of-two": {
    // Without detection this waits for ever.
    boundMs: 5000,
    run: async (context) => {
      const fd = make("f");
      const peer = await context.peer();
      const other = await peer.open("f", O_RDWR);
      p.setLock(fd, F_WRLCK, 0, 1);
      await peer.setLock(other, F_WRLCK, 1, 1);
      const waiting = peer.waitLock(other, F_WRLCK, 0, 1);
      await peer.actor.untilBlocked();
      refuses("EDEADLK", () => p.waitLock(fd, F_WRLCK, 1, 1));
      p.setLock(fd, F_UNLCK, 0, 1);
      await waiting;
    },
  },
  "twenty-ranges": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    for (let index = 0; index < 20; index++) p.setLock(fd, F_WRLCK, index * 20, 10);
    for (let index = 0; index < 20; index++) {
      await peer.setLock(other, F_WRLCK, index * 20 + 10, 10);
      await rejects("EAGAIN", peer.setLock(other, F_WRLCK, index * 20 + 9, 1));
    }
  },
});

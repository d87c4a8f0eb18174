/** flock(2). */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { make, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_RDONLY, O_RDWR } = p;

export const cases = area("flock", {
  "exclusive-excludes": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    await rejects("EAGAIN", peer.flock(other, LOCK_EX | LOCK_NB));
    await rejects("EAGAIN", peer.flock(other, LOCK_SH | LOCK_NB));
  },
  "shared-shares": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_SH);
    await peer.flock(other, LOCK_SH | LOCK_NB);
    await rejects("EAGAIN", peer.flock(other, LOCK_EX | LOCK_NB));
  },
  "unlock-lets-in": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    p.flock(fd, LOCK_UN);
    await peer.flock(other, LOCK_EX | LOCK_NB);
  },
  "between-two-opens-of-one-process": () => {
    const fd = make("f");
    const other = p.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    refuses("EAGAIN", () => p.flock(other, LOCK_EX | LOCK_NB));
  },
  "shared-by-dup": () => {
    const fd = make("f");
    const copy = p.dup(fd);
    p.flock(fd, LOCK_EX);
    p.flock(copy, LOCK_EX | LOCK_NB);
    p.flock(copy, LOCK_UN);
    p.flock(p.open("f", O_RDWR), LOCK_EX | LOCK_NB);
  },
  "close-of-a-dup-keeps-it": () => {
    const fd = make("f");
    p.flock(fd, LOCK_EX);
    p.close(p.dup(fd));
    const other = p.open("f", O_RDWR);
    refuses("EAGAIN", () => p.flock(other, LOCK_EX | LOCK_NB));
  },
  "close-lets-in": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    const waiting = peer.flock(other, LOCK_EX);
    await peer.actor.untilBlocked();
    p.close(fd);
    await waiting;
  },
  "exit-lets-in": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    await peer.flock(await peer.open("f", O_RDWR), LOCK_EX);
    refuses("EAGAIN", () => p.flock(fd, LOCK_EX | LOCK_NB));
    await peer.actor.kill();
    p.flock(fd, LOCK_EX);
  },
  "waiter-is-granted": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    const waiting = peer.flock(other, LOCK_EX);
    await peer.actor.untilBlocked();
    p.flock(fd, LOCK_UN);
    await waiting;
    refuses("EAGAIN", () => p.flock(fd, LOCK_SH | LOCK_NB));
  },
  "shared-waiters-are-granted-together": async (context) => {
    const fd = make("f");
    p.flock(fd, LOCK_EX);
    const peers = [await context.peer(), await context.peer()];
    const waiting: Promise<void>[] = [];
    for (const peer of peers) {
      const other = await peer.open("f", O_RDONLY);
      waiting.push(peer.flock(other, LOCK_SH));
      await peer.actor.untilBlocked();
    }
    p.flock(fd, LOCK_UN);
    await Promise.all(waiting);
    refuses("EAGAIN", () => p.flock(fd, LOCK_EX | LOCK_NB));
  },
  "signal-interrupts-the-wait": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    const waiting = rejects("EINTR", peer.flock(other, LOCK_EX));
    await peer.actor.untilBlocked();
    peer.actor.signal("SIGUSR2");
    await waiting;
    p.flock(fd, LOCK_UN);
    p.flock(fd, LOCK_EX | LOCK_NB);
  },
  "killed-waiter-leaves-nothing": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    const waiting = peer.flock(other, LOCK_EX).catch(() => "ended");
    await peer.actor.untilBlocked();
    await peer.actor.kill();
    equal(await waiting, "ended", "the wait");
    p.flock(fd, LOCK_UN);
    const third = await context.peer();
    await third.flock(await third.open("f", O_RDWR), LOCK_EX);
  },
  upgrade: async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_SH);
    p.flock(fd, LOCK_EX | LOCK_NB);
    await rejects("EAGAIN", peer.flock(other, LOCK_SH | LOCK_NB));
  },
  downgrade: async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", O_RDWR);
    p.flock(fd, LOCK_EX);
    p.flock(fd, LOCK_SH);
    await peer.flock(other, LOCK_SH | LOCK_NB);
  },
  "on-a-read-only-descriptor": () => {
    put("f");
    p.flock(p.open("f", O_RDONLY), LOCK_EX | LOCK_NB);
  },
  "on-a-directory": () => {
    p.mkdir("d");
    const [a, b] = [p.open("d", O_RDONLY), p.open("d", O_RDONLY)];
    p.flock(a, LOCK_EX);
    refuses("EAGAIN", () => p.flock(b, LOCK_EX | LOCK_NB));
  },
  "on-a-path-descriptor": () => {
    put("f");
    const fd = p.open("f", p.O_PATH);
    refuses("EBADF", () => p.flock(fd, LOCK_EX));
  },
  "unknown-operation": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.flock(fd, 0));
  },
  "of-two-files-are-two": async (context) => {
    const [a, b] = [make("a"), make("b")];
    const peer = await context.peer();
    p.flock(a, LOCK_EX);
    await peer.flock(await peer.open("b", O_RDWR), LOCK_EX | LOCK_NB);
    refuses("EAGAIN", () => p.flock(b, LOCK_EX | LOCK_NB));
  },
  "is-of-the-inode-not-the-name": async (context) => {
    const fd = make("f");
    p.flock(fd, LOCK_EX);
    p.link("f", "g");
    p.rename("f", "h");
    const peer = await context.peer();
    await rejects("EAGAIN", peer.flock(await peer.open("g", O_RDWR), LOCK_EX | LOCK_NB));
    await rejects("EAGAIN", peer.flock(await peer.open("h", O_RDWR), LOCK_EX | LOCK_NB));
  },
  "does-not-exclude-posix-locks": async (context) => {
    const fd = make("f");
    p.flock(fd, LOCK_EX);
    const peer = await context.peer();
    await peer.setLock(await peer.open("f", O_RDWR), p.F_WRLCK);
  },
  "unlock-without-lock": () => {
    p.flock(make("f"), LOCK_UN);
  },
});

/** FIFOs between processes. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses, rejects } from "../harness/expect.ts";
import { absent, pattern } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = p;
const SIGPIPE = 13;

function fifo(name = "fifo", mode = 0o600): void {
  p.mknod(name, p.S_IFIFO | mode);
}

export const cases = area("fifo", {
  "data-flows": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_RDONLY);
    const into = p.open("fifo", O_WRONLY);
    const out = await opening;
    p.write(into, "hello");
    holds(await peer.read(out, 100), "hello", "content");
  },
  "data-flows-the-other-way": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_WRONLY);
    const out = p.open("fifo", O_RDONLY);
    await peer.write(await opening, "hello");
    holds(p.read(out, 100), "hello", "content");
  },
  "open-for-reading-waits": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_RDONLY);
    await peer.actor.untilBlocked();
    check(peer.actor.busy, "the open did not wait");
    // Blocking too: where the peer sleeps may still be on its way to the FIFO.
    p.open("fifo", O_WRONLY);
    await opening;
  },
  "open-for-writing-waits": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_WRONLY);
    await peer.actor.untilBlocked();
    check(peer.actor.busy, "the open did not wait");
    p.open("fifo", O_RDONLY);
    await opening;
  },
  "signal-interrupts-the-open": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = rejects("EINTR", peer.open("fifo", O_RDONLY));
    await peer.actor.untilBlocked();
    peer.actor.signal("SIGUSR2");
    await opening;
  },
  "end-when-the-writer-closes": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_WRONLY);
    const out = p.open("fifo", O_RDONLY);
    const into = await opening;
    await peer.write(into, "last words");
    await peer.close(into);
    holds(p.read(out, 100), "last words", "content");
    holds(p.read(out, 100), "", "content at the end");
  },
  "end-when-the-writer-is-killed": async (context) => {
    fifo();
    const peer = await context.peer();
    const opening = peer.open("fifo", O_WRONLY);
    const out = p.open("fifo", O_RDONLY);
    await opening;
    await peer.actor.kill();
    holds(p.read(out, 100), "", "content at the end");
  },
  "broken-pipe": async (context) => {
    fifo();
    const peer = await context.peer();
    await peer.ignoreSignal(SIGPIPE);
    const opening = peer.open("fifo", O_WRONLY);
    const out = p.open("fifo", O_RDONLY);
    const into = await opening;
    p.close(out);
    await rejects("EPIPE", peer.write(into, "x"));
  },
  "reader-waits-for-data": async (context) => {
    fifo();
    const peer = await context.peer();
    const into = p.open("fifo", O_RDWR);
    const out = await peer.open("fifo", O_RDONLY);
    const reading = peer.read(out, 100);
    await peer.actor.untilBlocked();
    p.write(into, "at last");
    holds(await reading, "at last", "content");
  },
  "nonblocking-read-of-nothing": () => {
    fifo();
    const out = p.open("fifo", O_RDONLY | O_NONBLOCK);
    holds(p.read(out, 10), "", "content without a writer");
    p.open("fifo", O_WRONLY);
    refuses("EAGAIN", () => p.read(out, 10));
  },
  "nonblocking-write-without-reader": () => {
    fifo();
    refuses("ENXIO", () => p.open("fifo", O_WRONLY | O_NONBLOCK));
  },
  "read-write-does-not-wait": () => {
    fifo();
    const fd = p.open("fifo", O_RDWR);
    p.write(fd, "to myself");
    holds(p.read(fd, 100), "to myself", "content");
  },
  "two-writers-keep-their-records-whole": async (context) => {
    fifo();
    const writers = [await context.peer(), await context.peer()];
    const out = p.open("fifo", O_RDONLY | O_NONBLOCK);
    p.setStatusFlags(out, 0);
    const writing = writers.map((writer, index) => writer.appendRecords("fifo", `w${index}`, 200));
    let all = "";
    while (all.length < 2 * 200 * 32) all += p.read(out, 4096).toString();
    await Promise.all(writing);
    const whole = all.split("\n").filter((line) => /^w[01] \d+\.*$/.test(line));
    equal(whole.length, 400, "whole records");
  },
  "256-kib-in-order": async (context) => {
    fifo();
    const peer = await context.peer();
    const out = p.open("fifo", O_RDONLY | O_NONBLOCK);
    const into = await peer.open("fifo", O_WRONLY);
    p.setStatusFlags(out, 0);
    const writing = peer.writePattern(into, 1 << 18);
    const parts: Buffer[] = [];
    for (let size = 0; size < 1 << 18; ) {
      const part = p.read(out, 65_536);
      size += part.length;
      parts.push(part);
    }
    equal(await writing, 1 << 18, "bytes written");
    const all: Buffer = Buffer.concat(parts);
    equal(all, pattern(1 << 18), "content");
  },
  "two-fifos-are-two": () => {
    fifo("a");
    fifo("b");
    const [a, b] = [p.open("a", O_RDWR), p.open("b", O_RDWR | O_NONBLOCK)];
    p.write(a, "for a");
    refuses("EAGAIN", () => p.read(b, 10));
    holds(p.read(a, 10), "for a", "content");
  },
  "works-after-unlink-and-rename": async (context) => {
    fifo();
    const peer = await context.peer();
    const out = await peer.open("fifo", O_RDONLY | O_NONBLOCK);
    p.rename("fifo", "moved");
    const into = p.open("moved", O_WRONLY);
    p.unlink("moved");
    absent("moved");
    p.write(into, "still");
    holds(await peer.read(out, 10), "still", "content");
  },
  "hard-link-is-the-same-fifo": async (context) => {
    fifo();
    p.link("fifo", "other");
    const peer = await context.peer();
    const out = await peer.open("other", O_RDONLY | O_NONBLOCK);
    p.write(p.open("fifo", O_WRONLY), "same");
    holds(await peer.read(out, 10), "same", "content");
  },
  permission: async (context) => {
    fifo("fifo", 0o600);
    const user = await context.user(1001);
    await rejects("EACCES", user.open("fifo", O_RDONLY | O_NONBLOCK));
    p.chmod("fifo", 0o644);
    await user.open("fifo", O_RDONLY | O_NONBLOCK);
    await rejects("EACCES", user.open("fifo", O_WRONLY | O_NONBLOCK));
  },
  "size-stays-0": () => {
    fifo();
    const fd = p.open("fifo", O_RDWR);
    p.write(fd, "some data");
    equal(p.stat("fifo").size, 0, "size");
  },
});

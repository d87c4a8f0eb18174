/** The loop: events, timers, and what happens to descriptors while they are being told. */
import { afterEach, expect, test } from "bun:test";
import { Loop } from "../../src/bridge/loop.ts";
import { Timers } from "../../src/bridge/timers.ts";
import { EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../src/sys/epoll.ts";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { drainEventfd, eventfd, signalEventfd } from "../../src/sys/poll.ts";
import { ok } from "../sys/support.ts";
import { pipe } from "./pair.ts";

let loop = new Loop();
afterEach(() => {
  loop.close();
  loop = new Loop();
});

test("tells of what was asked for, until that is changed or taken back", () => {
  const fd = ok(eventfd());
  const told: number[] = [];
  const watched = { onEvents: (events: number) => told.push(events) };
  expect(loop.add(fd, EPOLLIN, watched)).toBe(0);
  expect(loop.add(fd, EPOLLIN, watched)).toBe(-E.EEXIST);
  expect(loop.turn()).toBe(false);
  signalEventfd(fd);
  loop.turn();
  loop.modify(fd, EPOLLIN | EPOLLOUT);
  loop.turn();
  loop.modify(fd, 0);
  loop.turn();
  expect(told).toEqual([EPOLLIN, EPOLLIN | EPOLLOUT]);
  loop.remove(fd);
  expect(loop.modify(fd, EPOLLIN)).toBe(-E.ENOENT);
  expect(loop.size).toBe(0);
  close(fd);
});

test("a hang-up is told also to who asked for nothing", () => {
  const [reader, writer] = pipe();
  const told: number[] = [];
  loop.add(reader, 0, { onEvents: (events) => told.push(events) });
  close(writer);
  loop.turn();
  expect(told).toEqual([EPOLLHUP]);
  loop.remove(reader);
  close(reader);
});

test("one that is removed while events are told is told nothing, nor is who has got its number", () => {
  const fds = Array.from({ length: 8 }, () => ok(eventfd()));
  const told: number[] = [];
  const others: number[] = [];
  for (const fd of fds) {
    signalEventfd(fd);
    loop.add(fd, EPOLLIN, {
      onEvents: () => {
        told.push(fd);
        for (const other of fds) {
          loop.remove(other);
          close(other);
        }
        // The same numbers, and not readable.
        for (const again of fds.map(() => ok(eventfd()))) {
          others.push(again);
          loop.add(again, EPOLLIN, { onEvents: () => told.push(-again) });
        }
      },
    });
  }
  loop.turn();
  loop.turn();
  expect(told).toHaveLength(1);
  expect(others.toSorted()).toEqual(fds.toSorted());
  for (const fd of others) close(fd);
});

test("timers come in their order, not before their time, and not at all once cancelled", () => {
  const called: string[] = [];
  const start = loop.nowMs;
  loop.after(20, () => called.push("second"));
  loop.after(5, () => called.push("first"));
  const cancel = loop.after(1, () => called.push("never"));
  cancel();
  cancel();
  loop.after(30, () => loop.stop());
  loop.run();
  expect(called).toEqual(["first", "second"]);
  expect(loop.nowMs - start).toBeGreaterThanOrEqual(30);
});

test("sleeps until something happens", () => {
  const fd = ok(eventfd());
  let hooks = 0;
  loop.beforeSleep(() => {
    hooks++;
    return false;
  });
  loop.add(fd, EPOLLIN, {
    onEvents: () => {
      drainEventfd(fd);
      loop.stop();
    },
  });
  loop.after(150, () => signalEventfd(fd));
  const before = process.cpuUsage();
  loop.run();
  const { user, system } = process.cpuUsage(before);
  expect(user + system).toBeLessThan(100_000);
  expect(hooks).toBeGreaterThan(0);
  close(fd);
});

test("a hook with more to do keeps it awake, and can be taken out", () => {
  let left = 5;
  const unhook = loop.beforeSleep(() => --left > 0);
  loop.after(1, () => loop.stop());
  loop.run();
  expect(left).toBeLessThanOrEqual(0);
  unhook();
  const before = left;
  loop.turn();
  expect(left).toBe(before);
});

test("a hook is called before events are told, and only then", () => {
  const fd = ok(eventfd());
  const called: string[] = [];
  const unhook = loop.afterSleep(() => called.push("hook"));
  loop.add(fd, EPOLLIN, {
    onEvents: () => {
      drainEventfd(fd);
      called.push("event");
    },
  });
  loop.turn();
  expect(called).toEqual([]);
  signalEventfd(fd);
  loop.turn();
  expect(called).toEqual(["hook", "event"]);
  unhook();
  signalEventfd(fd);
  loop.turn();
  expect(called).toEqual(["hook", "event", "event"]);
  close(fd);
});

test("timers in any order, some cancelled, come sorted", () => {
  const timers = new Timers();
  const called: number[] = [];
  const times = Array.from({ length: 500 }, (_, i) => (i * 7919) % 1000);
  const cancels = times.map((at) => timers.add(at, () => called.push(at)));
  for (const [i, cancel] of cancels.entries()) if (i % 3 !== 0) cancel();
  expect(timers.run(499)).toBe(called.length);
  timers.run(2000);
  const expected = times.filter((_, i) => i % 3 === 0).toSorted((a, b) => a - b);
  expect(called).toEqual(expected);
  expect(timers.next).toBe(Number.POSITIVE_INFINITY);
});

test("a timer that another cancels when both are due is not called", () => {
  const timers = new Timers();
  const called: string[] = [];
  timers.add(1, () => {
    called.push("first");
    cancel();
    timers.add(1, () => called.push("added"));
  });
  const cancel = timers.add(2, () => called.push("cancelled"));
  expect(timers.run(5)).toBe(1);
  expect(timers.run(5)).toBe(1);
  expect(called).toEqual(["first", "added"]);
});

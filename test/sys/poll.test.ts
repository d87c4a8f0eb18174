/** poll sets and eventfds. */
import { expect, test } from "bun:test";
import { pipe2, write } from "../../src/sys/io.ts";
import { close, F_GETFD, F_GETFL, FD_CLOEXEC, fcntlInt, O_NONBLOCK } from "../../src/sys/open.ts";
import {
  drainEventfd,
  eventfd,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PollSet,
  schedYield,
  signalEventfd,
} from "../../src/sys/poll.ts";
import { ok, okPair, outcome, textRegion } from "./support.ts";

test("a set tells which descriptors are ready, and for what", () => {
  const [from, to] = okPair(pipe2(O_NONBLOCK));
  const set = new PollSet(3);
  const indexes = [set.add(from, POLLIN), set.add(to, POLLOUT), set.add(-1, POLLIN)];
  expect(indexes).toEqual([0, 1, 2]);
  expect(set.wait(0)).toBe(1);
  expect(indexes.map((i) => set.revents(i))).toEqual([0, POLLOUT, 0]);
  write(to, textRegion("x").address, 1);
  expect(set.wait(-1)).toBe(2);
  expect(set.revents(0)).toBe(POLLIN);
  close(to);
  expect(set.wait(0)).toBe(2);
  expect(set.revents(0)).toBe(POLLIN | POLLHUP);
  expect(set.revents(1)).toBe(POLLNVAL);
  close(from);
});

test("clear empties the set, and a full one refuses more", () => {
  const set = new PollSet(1);
  const quiet = ok(eventfd());
  set.add(1 << 20, POLLIN);
  expect(() => set.add(quiet, POLLIN)).toThrow(RangeError);
  expect(set.wait(0)).toBe(1);
  set.clear();
  expect(set.add(quiet, POLLIN)).toBe(0);
  expect(set.revents(0)).toBe(0);
  expect(set.wait(1)).toBe(0);
  close(quiet);
});

test("an eventfd is raised many times and drained once", () => {
  const fd = ok(eventfd());
  expect(fcntlInt(fd, F_GETFL) & O_NONBLOCK).toBe(O_NONBLOCK);
  expect(fcntlInt(fd, F_GETFD)).toBe(FD_CLOEXEC);
  expect(outcome(drainEventfd(fd))).toBe("EAGAIN");
  for (let i = 0; i < 3; i++) expect(signalEventfd(fd)).toBe(8);
  const set = new PollSet(1);
  set.add(fd, POLLIN);
  expect(set.wait(0)).toBe(1);
  expect(drainEventfd(fd)).toBe(8);
  expect(set.wait(0)).toBe(0);
  close(fd);
  expect(outcome(signalEventfd(fd))).toBe("EBADF");
});

test("sched_yield comes back", () => {
  expect(schedYield()).toBe(0);
});

import { afterAll, expect, test } from "bun:test";
import { Epoll } from "../../src/sys/epoll.ts";
import { close } from "../../src/sys/open.ts";
import { drainEventfd, eventfd, POLLIN, PollSet, signalEventfd } from "../../src/sys/poll.ts";
import { ok } from "./support.ts";

const MANY = 100;
const fds = Array.from({ length: MANY }, () => ok(eventfd()));
const epoll = new Epoll();
afterAll(() => {
  for (const fd of [...fds, epoll.fd]) close(fd);
});

/** Numbers of all that are found readable in one poll. */
function ready(): number[] {
  return Array.from({ length: epoll.poll() }, (_, i) => epoll.data(i)).sort((a, b) => a - b);
}

test("descriptors are found by the numbers they were given, for as long as they are readable", () => {
  for (const [i, fd] of fds.entries()) ok(epoll.add(fd, 0xffff_ff00 + i));
  expect(ready()).toEqual([]);
  for (const i of [3, 17, 99]) ok(signalEventfd(fds[i] as number));
  expect(ready()).toEqual([3, 17, 99].map((i) => 0xffff_ff00 + i));
  expect(ready()).toHaveLength(3);
  ok(drainEventfd(fds[17] as number));
  expect(ready()).toEqual([3, 99].map((i) => 0xffff_ff00 + i));
});

test("the set is readable itself, and what is removed is found no more", () => {
  const set = new PollSet(1);
  set.add(epoll.fd, POLLIN);
  expect(set.wait(0)).toBe(1);
  ok(epoll.remove(fds[3] as number));
  ok(epoll.remove(fds[99] as number));
  expect(set.wait(0)).toBe(0);
  expect(epoll.remove(fds[3] as number)).toBeLessThan(0);
});

test("more than one poll takes are found by the next ones", () => {
  for (const i of fds.keys()) {
    if (i !== 3 && i !== 99) ok(signalEventfd(fds[i] as number));
  }
  const found = new Set<number>();
  for (let i = 0; i < 4; i++) for (const one of ready()) found.add(one);
  expect(found.size).toBe(MANY - 2);
});

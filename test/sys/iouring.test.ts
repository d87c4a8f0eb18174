/** Opens that wait in the kernel's own threads (sys/iouring.ts). */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { ERESTARTSYS, OpenRing } from "../../src/sys/iouring.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat,
} from "../../src/sys/open.ts";
import { drainEventfd, eventfd, POLLIN, PollSet } from "../../src/sys/poll.ts";
import { mknodat } from "../../src/sys/tree.ts";
import { ok, outcome, scratch } from "./support.ts";

const S_IFIFO = 0o010000;
const place = scratch();
const event = ok(eventfd());
const ring = made(OpenRing.make(256, event));
afterAll(() => {
  ring.close();
  close(event);
});

function made(result: OpenRing | number): OpenRing {
  if (typeof result === "number") throw new Error(`No ring: errno ${-result}`);
  return result;
}

function fifo(name: string): number {
  ok(mknodat(AT_FDCWD, place.at(name), S_IFIFO | 0o600, 0));
  return cstring(join(place.directory, name));
}

/** What `count` opens have come to, by number. */
function results(count: number): Map<number, number> {
  const found = new Map<number, number>();
  const set = new PollSet(1);
  while (found.size < count) {
    set.clear();
    set.add(event, POLLIN);
    if (set.wait(10_000) <= 0) throw new Error(`only ${found.size} of ${count} opens are over`);
    drainEventfd(event);
    ring.reap((number, result) => found.set(number, result));
  }
  return found;
}

test("a blocking open of a FIFO waits in the kernel until the other end is opened", () => {
  const path = fifo("waits");
  expect(ring.open(path, O_RDONLY | O_CLOEXEC, 1)).toBe(0);
  let reaped = 0;
  ring.reap(() => reaped++);
  expect(reaped).toBe(0);
  // It counts as a reader once its thread is there.
  let writer = -E.ENXIO;
  const until = Date.now() + 10_000;
  while (writer === -E.ENXIO && Date.now() < until) {
    writer = openat(AT_FDCWD, place.at("waits"), O_WRONLY | O_NONBLOCK, 0);
  }
  ok(writer);
  const fd = results(1).get(1) as number;
  expect(fd).toBeGreaterThan(0);
  close(fd);
  close(writer);
});

test("one that waits can be cancelled", () => {
  expect(ring.open(fifo("cancelled"), O_WRONLY | O_CLOEXEC, 2)).toBe(0);
  expect(ring.cancel(2)).toBe(0);
  const ends = ["EINTR", "ECANCELED", `errno ${ERESTARTSYS}`];
  expect(ends).toContain(outcome(results(1).get(2) as number) as string);
});

test("an error is told", () => {
  expect(ring.open(cstring(join(place.directory, "absent")), O_RDONLY, 3)).toBe(0);
  expect(results(1)).toEqual(new Map([[3, -E.ENOENT]]));
});

test("two hundred wait at once, and each gets its own FIFO", () => {
  const numbers = Array.from({ length: 200 }, (_, i) => 100 + i);
  for (const number of numbers) {
    expect(ring.open(fifo(`many${number}`), O_RDONLY | O_CLOEXEC, number)).toBe(0);
  }
  const writers = numbers.map((number) => {
    const until = Date.now() + 20_000;
    let fd = -E.ENXIO;
    while (fd === -E.ENXIO && Date.now() < until) {
      fd = openat(AT_FDCWD, place.at(`many${number}`), O_WRONLY | O_NONBLOCK, 0);
    }
    return ok(fd);
  });
  const found = results(200);
  expect([...found.keys()].sort()).toEqual(numbers.sort());
  for (const fd of [...found.values(), ...writers]) expect(close(ok(fd))).toBe(0);
});

/** The table that says which reactor has which session, and how connections are handed over. */
import { expect, test } from "bun:test";
import { Mailbox } from "../../src/server/mailbox.ts";
import { type Entered, type Place, Registry } from "../../src/server/registry.ts";
import { drainEventfd, eventfd } from "../../src/sys/poll.ts";
import { HELLO_MAX, SESSIONS_MAX } from "../../src/wire/limits.ts";

const id = (n: number) => n.toString(16).padStart(32, "0");

function place(entered: Entered): Place {
  if (entered.kind !== "new") throw new Error(`It is ${entered.kind}`);
  return entered.place;
}

test("a session is found by its id and user id, by every reactor", () => {
  const one = new Registry();
  const other = new Registry(one.shared);
  const at = place(one.enter(id(1), 0, 2));
  expect(other.enter(id(1), 0, 3)).toEqual({ kind: "known", owner: 2 });
  expect(other.enter(id(1), 0xffff_ffff, 3).kind).toBe("new");
  expect(other.enter(id(2), 0, 3).kind).toBe("new");
  one.leave(at);
  expect(other.enter(id(1), 0, 3).kind).toBe("new");
});

test("ids that differ in one digit, wherever, are two", () => {
  const registry = new Registry();
  const digits = "0123456789abcdef0123456789abcdef";
  registry.enter(digits, 0, 0);
  for (let i = 0; i < digits.length; i++) {
    const changed = `${digits.slice(0, i)}${digits[i] === "7" ? "8" : "7"}${digits.slice(i + 1)}`;
    expect(registry.enter(changed, 0, 0).kind).toBe("new");
  }
});

test("a full table gives the row of who left first, and none while all are connected", () => {
  const registry = new Registry();
  const places = Array.from({ length: SESSIONS_MAX }, (_, i) => {
    return place(registry.enter(id(i), 0, i % 4));
  });
  expect(registry.enter(id(1000), 0, 0).kind).toBe("full");
  for (const i of [7, 6, 9]) registry.detach(places[i] as Place);
  expect(registry.attach(places[7] as Place)).toBe(true);
  registry.detach(places[7] as Place);
  const order = [6, 9, 7].map((i) => {
    const entered = registry.enter(id(1000 + i), 0, 0);
    expect(registry.holds(places[i] as Place)).toBe(false);
    expect(registry.attach(places[i] as Place)).toBe(false);
    return entered.kind === "new" ? entered.evictedFrom : entered.kind;
  });
  expect(order).toEqual([2, 1, 3]);
  expect(registry.enter(id(2000), 0, 0).kind).toBe("full");
  // Whoever had to go frees nobody else's row by leaving.
  registry.leave(places[7] as Place);
  registry.detach(places[6] as Place);
  expect(registry.enter(id(2000), 0, 0).kind).toBe("full");
});

test("connections come out of a mailbox as they were put in, and no more than it holds", () => {
  const wakeFd = eventfd();
  const one = new Mailbox(wakeFd);
  const other = new Mailbox(wakeFd, one.shared);
  const hello = (n: number) => new Uint8Array(HELLO_MAX).fill(n);
  /** Addresses of all halves, as user space has them. */
  const tlsOf = (n: number) => 0x7fff_ffff_f000 - n * 0x1_8000_0010;
  for (let round = 0; round < 5; round++) {
    let held = 0;
    const put = () => {
      const connection = { fd: held + 3, tls: held % 5 === 0 ? tlsOf(held) : 0 };
      const box = held % 2 === 0 ? one : other;
      return box.put(connection, held % 3 === 0 ? hello(held) : undefined);
    };
    while (put()) held++;
    expect(held).toBeGreaterThanOrEqual(SESSIONS_MAX);
    expect(one.connections).toBe(held * (round + 1));
    for (let i = 0; i < held; i++) {
      const arrival = one.take();
      expect(arrival?.fd).toBe(i + 3);
      expect(arrival?.tls).toBe(i % 5 === 0 ? tlsOf(i) : 0);
      expect(arrival?.hello).toEqual(i % 3 === 0 ? hello(i) : undefined);
    }
    expect(one.take()).toBeUndefined();
  }
  expect(drainEventfd(wakeFd)).toBe(8);
});

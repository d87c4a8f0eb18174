/** Orders on their way from main to the mount's thread. */
import { expect, test } from "bun:test";
import { OrderKind, Orders } from "../../../src/client/submounts/orders.ts";
import { CHANNELS_MAX } from "../../../src/fuse/channels.ts";
import { eventfd, POLLIN, PollSet } from "../../../src/sys/poll.ts";
import { ok } from "../../sys/support.ts";

const giver = new Orders(ok(eventfd()));
const taker = new Orders(giver.wakeFd, giver.shared);
const polls = new PollSet(1);
polls.add(giver.wakeFd, POLLIN);
const order = (channel: number) => ({
  kind: OrderKind.OPEN,
  channel,
  fd: channel + 10,
  mount: 0xffff_ff00 + (channel % 100),
});

test("they arrive in order, with a wake-up", () => {
  expect(taker.any).toBe(false);
  expect(polls.wait(0)).toBe(0);
  giver.put(order(1));
  giver.put(order(2));
  expect(polls.wait(0)).toBe(1);
  expect(taker.any).toBe(true);
  expect([taker.take(), taker.take(), taker.take()]).toEqual([order(1), order(2), undefined]);
  expect(taker.any).toBe(false);
  taker.drain();
  expect(polls.wait(0)).toBe(0);
});

test("each channel may be opened and closed before any is taken, and no more", () => {
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 2 * CHANNELS_MAX; i++) giver.put(order(i));
    expect(() => giver.put(order(0))).toThrow("orders");
    for (let i = 0; i < 2 * CHANNELS_MAX; i++) expect(taker.take()).toEqual(order(i));
  }
});

/** What reactors tell the bridge's thread, from several threads at once. */
import { expect, test } from "bun:test";
import { BoxKind, BridgeBox, What } from "../../../src/server/bridge/box.ts";
import { close } from "../../../src/sys/open.ts";
import { drainEventfd, eventfd } from "../../../src/sys/poll.ts";

const add = (key: number, owner = 1) => {
  return { kind: BoxKind.ADD, fd: 7, what: What.NODE, type: 1, key, owner };
};

test("messages come as they were told, in order, with all their bits", () => {
  const wakeFd = eventfd();
  const box = new BridgeBox(wakeFd);
  const there = new BridgeBox(wakeFd, box.shared);
  const keys = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1];
  for (const key of keys) expect(box.offer(add(key, 2 ** 39 + key))).toBe(true);
  expect(drainEventfd(wakeFd)).toBe(8);
  for (const key of keys) expect(there.take()).toEqual(add(key, 2 ** 39 + key));
  expect(there.take()).toBeUndefined();
  close(wakeFd);
});

test("where there is no room some wait with their sender, and others are refused", () => {
  const wakeFd = eventfd();
  const box = new BridgeBox(wakeFd);
  let told = 0;
  while (box.offer(add(told))) told++;
  const end = { ...add(0), kind: BoxKind.ENDED, fd: -1 };
  box.tell(end);
  box.tell({ ...end, owner: 2 });
  expect(box.flush()).toBe(false);
  for (let i = 0; i < told; i++) expect(box.take()?.key).toBe(i);
  // What came later has to wait for what came first.
  expect(box.offer(add(told))).toBe(true);
  expect([box.take(), box.take()].map((one) => one?.owner)).toEqual([1, 2]);
  expect(box.take()).toEqual(add(told));
  close(wakeFd);
});

test("several threads tell at once, and nothing is lost or mixed up", async () => {
  const wakeFd = eventfd();
  const box = new BridgeBox(wakeFd);
  const EACH = 20_000;
  const workers = [0, 1, 2].map((owner) => {
    const worker = new Worker(new URL("./boxteller.ts", import.meta.url).href);
    worker.postMessage({ wakeFd, shared: box.shared, owner, count: EACH });
    return worker;
  });
  const next = [0, 0, 0];
  const deadline = performance.now() + 20_000;
  while (next.some((key) => key < EACH)) {
    if (performance.now() > deadline) throw new Error(`Only ${next} have come`);
    const message = box.take();
    if (message === undefined) {
      await Bun.sleep(1);
      continue;
    }
    expect(message).toEqual(add(next[message.owner] as number, message.owner));
    next[message.owner] = (next[message.owner] as number) + 1;
  }
  for (const worker of workers) worker.terminate();
  close(wakeFd);
});

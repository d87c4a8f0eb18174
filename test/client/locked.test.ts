/** Nodes with range locks: remembered over the death of the process, and until the kernel forgets them. */
import { afterEach, describe, expect, test } from "bun:test";
import { cleanUp } from "../../src/client/cleanup.ts";
import { LockedNodes } from "../../src/client/locked.ts";
import { State } from "../../src/client/pending.ts";
import { ClientRecord, Head, LOCKED_MAX, RECORD_BYTES } from "../../src/client/record.ts";
import { Opcode } from "../../src/fuse/protocol.ts";
import { allocate } from "../../src/sys/memory.ts";
import { Op } from "../../src/wire/ops.ts";
import { random, seedFor } from "../support/random.ts";
import { Rig } from "./rig.ts";

const NODE = 9;
const region = allocate(RECORD_BYTES);
afterEach(() => void region.bytes.fill(0));

test("nodes are known until they are let go, by the next process too", () => {
  const { below } = random(seedFor("locked"));
  let locked = new LockedNodes(new ClientRecord(region));
  const known = new Set<number>();
  for (let step = 0; step < 2000; step++) {
    const node = below(60);
    if (below(2) === 0) {
      locked.add(node);
      known.add(node);
    } else {
      locked.delete(node);
      known.delete(node);
    }
    if (step % 100 === 99) locked = new LockedNodes(new ClientRecord(region));
    expect(locked.size).toBe(known.size);
    for (let other = 0; other < 60; other++) expect(locked.has(other)).toBe(known.has(other));
  }
  locked.clear();
  expect(locked.size).toBe(0);
  expect(new LockedNodes(new ClientRecord(region)).size).toBe(0);
});

test("a process that dies while it lets one go loses no other", () => {
  const record = new ClientRecord(region);
  const locked = new LockedNodes(record);
  for (const node of [1, 2, 3, 4]) locked.add(node);
  locked.delete(2);
  // As if it had died before the count was stored.
  record.set(Head.LOCKED_COUNT, 4);
  const next = new LockedNodes(new ClientRecord(region));
  for (const node of [1, 3, 4]) expect(next.has(node)).toBe(true);
  next.delete(4);
  for (const node of [1, 3]) expect(next.has(node)).toBe(true);
  next.delete(1);
  expect(next.has(3)).toBe(true);
});

test("too many to remember: every node may be locked", () => {
  const record = new ClientRecord(region);
  const locked = new LockedNodes(record);
  for (let node = 1; node <= LOCKED_MAX; node++) locked.add(node);
  expect(locked.has(LOCKED_MAX + 1)).toBe(false);
  locked.add(LOCKED_MAX + 1);
  expect(locked.has(LOCKED_MAX + 2)).toBe(true);
  expect(new LockedNodes(new ClientRecord(region)).has(LOCKED_MAX + 2)).toBe(true);
  locked.clear();
  expect(locked.has(1)).toBe(false);
});

describe("a node that is locked", () => {
  test("stays so when a lookup of it is let go that the kernel never knew of", () => {
    const rig = new Rig();
    rig.client.locked.add(NODE);
    rig.request(Opcode.LOOKUP, Buffer.from("name\0"));
    const [asked] = rig.received();
    expect(asked?.items[2]).toBe(Op.LOOKUP);
    rig.client.pending.state[0] = State.ABANDONED;
    rig.reply(asked as never, 0, [BigInt(NODE)]);
    const { transport } = rig.client;
    transport.receive();
    expect(transport.next()).toBe(true);
    transport.reader.array();
    for (let i = 0; i < 3; i++) transport.reader.uint();
    cleanUp(rig.client, Opcode.LOOKUP);
    expect(rig.client.locked.has(NODE)).toBe(true);
    rig.close();
  });

  test("is let go when the kernel forgets it", () => {
    const rig = new Rig();
    const batch = Buffer.alloc(8 + 2 * 16);
    batch.writeUInt32LE(2, 0);
    for (const [i, node] of [NODE + 1, NODE + 2].entries()) {
      batch.writeBigUInt64LE(BigInt(node), 8 + 16 * i);
      batch.writeBigUInt64LE(1n, 16 + 16 * i);
    }
    for (const node of [NODE, NODE + 1, NODE + 2, NODE + 3]) rig.client.locked.add(node);
    rig.request(Opcode.FORGET, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), { node: NODE });
    rig.request(Opcode.BATCH_FORGET, batch, { node: 0 });
    const known = [0, 1, 2, 3].map((more) => rig.client.locked.has(NODE + more));
    expect(known).toEqual([false, false, false, true]);
    rig.close();
  });
});

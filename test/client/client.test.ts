/** What the client tells the server without being asked: releases and forgets. */
import { afterEach, describe, expect, test } from "bun:test";
import { cleanUp } from "../../src/client/cleanup.ts";
import type { CacheMode } from "../../src/client/client.ts";
import { State } from "../../src/client/pending.ts";
import { ATTR, Opcode } from "../../src/fuse/protocol.ts";
import { Policy } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Oneway, Op } from "../../src/wire/ops.ts";
import { congest, MEBIBYTE, release, write } from "./requests.ts";
import { type Frame, Rig } from "./rig.ts";

const rigs: Rig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
});

function rig(bufferBytes?: number): Rig {
  const made = new Rig(8, bufferBytes);
  rigs.push(made);
  return made;
}

/** The nodes that frames say are forgotten, with how many lookups in all. */
function forgotten(frames: Frame[]): Map<number, number> {
  const nodes = new Map<number, number>();
  for (const { items } of frames.filter(({ kind }) => kind === Kind.ONEWAY)) {
    const [op, count = 0, ...pairs] = items;
    if (op !== Oneway.FORGET) continue;
    expect(pairs.length).toBe(2 * count);
    for (let i = 0; i < pairs.length; i += 2) {
      const node = Number(pairs[i]);
      nodes.set(node, (nodes.get(node) ?? 0) + Number(pairs[i + 1]));
    }
  }
  return nodes;
}

describe("forgets", () => {
  test("gather, and go before the next request", () => {
    const r = rig();
    const body = Buffer.alloc(8);
    body.writeBigUInt64LE(3n);
    for (const node of [5, 6, 5]) r.request(Opcode.FORGET, body, { node });
    expect(r.received()).toEqual([]);
    expect(r.client.owes).toBe(true);
    r.request(Opcode.GETATTR, Buffer.alloc(16));
    const frames = r.received();
    expect(frames.map(({ kind }) => kind)).toEqual([Kind.ONEWAY, Kind.REQUEST]);
    expect(forgotten(frames)).toEqual(
      new Map([
        [5, 6],
        [6, 3],
      ]),
    );
    expect(r.client.owes).toBe(false);
  });

  test("of a whole batch arrive, however many, in frames the server takes", () => {
    const r = rig();
    const count = 5000;
    const body = Buffer.alloc(8 + count * 16);
    body.writeUInt32LE(count);
    for (let i = 0; i < count; i++) {
      body.writeBigUInt64LE(BigInt(i + 2), 8 + i * 16);
      body.writeBigUInt64LE(BigInt((i % 3) + 1), 16 + i * 16);
    }
    r.request(Opcode.BATCH_FORGET, body);
    r.client.sendOwed();
    const nodes = forgotten(r.received());
    expect(nodes.size).toBe(count);
    for (let i = 0; i < count; i++) expect(nodes.get(i + 2)).toBe((i % 3) + 1);
  });
});

describe("a connection that takes nothing", () => {
  test("gets neither releases nor forgets into the midst of other data", () => {
    const r = rig(4096);
    const data = congest(r);
    r.request(Opcode.RELEASE, release(77));
    r.request(Opcode.RELEASEDIR, release(88));
    for (let node = 2; node < 1002; node++) r.client.forget(0, node, 1);
    expect(r.client.owes).toBe(true);
    const [write] = r.received();
    expect(write?.items[2]).toBe(Op.WRITE);
    expect(write?.payload.equals(data)).toBe(true);
    expect(r.client.transport.congested).toBe(false);
    r.client.sendOwed();
    const frames = r.received();
    const told = frames.map(({ items }) => items).filter(([op]) => op !== Oneway.FORGET);
    expect(told).toContainEqual([Oneway.RELEASE, 77]);
    expect(told).toContainEqual([Oneway.RELEASEDIR, 88]);
    expect(told.length).toBe(2);
    expect(forgotten(frames).size).toBe(1000);
    expect(r.client.owes).toBe(false);
  });

  test("does not keep late answers from being cleaned up", () => {
    const r = rig(4096);
    r.request(Opcode.OPEN, Buffer.alloc(8));
    const [open] = r.received();
    r.client.pending.state[0] = State.ABANDONED;
    const data = congest(r);
    r.reply(open as Frame, 0, [99, 0]);
    expect(r.client.transport.receive()).toBeGreaterThan(0);
    expect(r.client.transport.next()).toBe(true);
    const { reader } = r.client.transport;
    reader.array();
    for (let i = 0; i < 3; i++) reader.uint();
    cleanUp(r.client, Opcode.OPEN);
    expect(r.received()[0]?.payload.equals(data)).toBe(true);
    r.client.sendOwed();
    expect(r.received().map(({ items }) => items)).toEqual([[Oneway.RELEASE, 99]]);
  });
});

test("the largest write arrives as it was, from the kernel's own buffer", () => {
  const r = rig();
  const data = congest(r);
  expect(data.length).toBe(MEBIBYTE);
  expect(r.received()[0]?.payload.equals(data)).toBe(true);
});

describe("with cache=never", () => {
  const NODE = 7;
  const GETATTR = Buffer.alloc(16);
  /** Inode, size, and what else attributes are on the wire. */
  const attributes = (size: number) => [9n, size, 8, ...Array<number>(12).fill(1), Policy.WATCHED];

  /** A thread has been told of NODE by a lookup. */
  function lookedUp(cache: CacheMode): Rig {
    const r = new Rig(8, undefined, undefined, cache);
    rigs.push(r);
    r.request(Opcode.LOOKUP, Buffer.from("name\0"), { pid: 100 });
    const [request] = r.received() as [Frame];
    r.reply(request, 0, [BigInt(NODE), ...attributes(4096)]);
    r.settle();
    expect(r.told()?.error).toBe(0);
    return r;
  }

  test("what a lookup has told answers for the rest of the system call, once", () => {
    const r = lookedUp("never");
    const unique = r.request(Opcode.GETATTR, GETATTR, { node: NODE, pid: 100 });
    expect(r.received()).toEqual([]);
    const told = r.told();
    expect([told?.unique, told?.error]).toEqual([unique, 0]);
    expect(told?.body.readUInt32LE(16 + ATTR.size)).toBe(4096);
    r.request(Opcode.GETATTR, GETATTR, { node: NODE, pid: 100 });
    expect(r.received().length).toBe(1);
  });

  test("not after a change of this machine's has ended", () => {
    const r = lookedUp("never");
    r.request(Opcode.WRITE, write(1, Buffer.from("x")), { node: NODE, pid: 101 });
    const [request] = r.received() as [Frame];
    r.reply(request, 0, [1]);
    r.settle();
    expect(r.told()?.error).toBe(0);
    r.request(Opcode.GETATTR, GETATTR, { node: NODE, pid: 100 });
    expect(r.received().length).toBe(1);
  });

  test("not to another thread", () => {
    const r = lookedUp("never");
    r.request(Opcode.GETATTR, GETATTR, { node: NODE, pid: 101 });
    expect(r.received().length).toBe(1);
  });
});

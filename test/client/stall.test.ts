/** Requests that the server cannot be given for the time being. */
import { afterEach, describe, expect, test } from "bun:test";
import { forward } from "../../src/client/dispatch.ts";
import { State } from "../../src/client/pending.ts";
import { Stall } from "../../src/client/stall.ts";
import { FLUSH_IN, Opcode } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op } from "../../src/wire/ops.ts";
import { congest, MEBIBYTE, read, release, write } from "./requests.ts";
import { Rig } from "./rig.ts";

const NODE = 9;
const LOCK = Buffer.alloc(48);
const rigs: Rig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
});

/** A rig whose connection takes nothing, and its requests that wait. */
function stalled(): { rig: Rig; stall: Stall } {
  const rig = new Rig(8, 4096);
  rigs.push(rig);
  congest(rig);
  return { rig, stall: new Stall(rig.client) };
}

/** The kernel asks, and the request is kept, or refused with `errno`. */
function take(rig: Rig, stall: Stall, opcode: number, body: Buffer, pid?: number, errno = 0) {
  const unique = rig.ask(opcode, body, pid === undefined ? { node: NODE } : { node: NODE, pid });
  rig.client.fuse.next();
  stall.take(errno);
  return unique;
}

/** The connection takes all again: the operations of the requests that were forwarded. */
function forwardAll(rig: Rig, stall: Stall): number[] {
  const ops = rig.received().map(({ items }) => items[2] as number);
  while (!stall.isEmpty) {
    stall.forwardNext();
    ops.push(...rig.received().map(({ items }) => items[2] as number));
  }
  return ops;
}

function flush(owner: number): Buffer {
  const body = Buffer.alloc(24);
  body.writeUInt32LE(owner, FLUSH_IN.lock_owner);
  return body;
}

async function ended(): Promise<number> {
  const child = Bun.spawn(["true"]);
  await child.exited;
  return child.pid;
}

test("what needs no server is not concerned", () => {
  const { rig, stall } = stalled();
  const concerned = (opcode: number, body: Buffer) => {
    rig.ask(opcode, body, { node: NODE });
    rig.client.fuse.next();
    return stall.concerned;
  };
  expect(concerned(Opcode.RELEASE, release(1))).toBe(false);
  expect(concerned(Opcode.OPENDIR, Buffer.alloc(8))).toBe(false);
  expect(concerned(Opcode.FORGET, Buffer.alloc(8))).toBe(false);
  expect(concerned(Opcode.FLUSH, flush(1))).toBe(false);
  expect(concerned(Opcode.GETATTR, Buffer.alloc(16))).toBe(true);
  rig.client.locked.add(NODE);
  expect(concerned(Opcode.FLUSH, flush(1))).toBe(true);
});

describe("requests that are kept", () => {
  test("reach the server in their order, with their data, and get their answers", () => {
    const { rig, stall } = stalled();
    const data = Buffer.alloc(MEBIBYTE, "kept");
    const first = take(rig, stall, Opcode.WRITE, write(5, data));
    const second = take(rig, stall, Opcode.READ, read(6, 4096, 100));
    expect(rig.received().length).toBe(1);
    stall.forwardNext();
    const [written] = rig.received();
    expect(written?.payload.equals(data)).toBe(true);
    stall.forwardNext();
    const [wanted] = rig.received();
    expect(wanted?.items.slice(2)).toEqual([Op.READ, 6, 4096, 100]);
    expect(stall.isEmpty).toBe(true);
    rig.reply(written as never, 0, [MEBIBYTE]);
    rig.reply(wanted as never, 0, [], Buffer.from("data"));
    rig.settle();
    expect(rig.told()).toMatchObject({ error: 0, unique: first });
    expect(rig.told()).toEqual({ error: 0, unique: second, body: Buffer.from("data") });
  });

  test("are bounded in memory", () => {
    const { rig, stall } = stalled();
    let taken = 0;
    while (!stall.isFull && taken < 1000) {
      take(rig, stall, Opcode.WRITE, write(5, Buffer.alloc(MEBIBYTE)));
      taken++;
    }
    expect(taken).toBeGreaterThan(8);
    expect(taken).toBeLessThan(100);
    stall.failAll(E.EIO);
    expect(stall.isFull).toBe(false);
    expect(stall.isEmpty).toBe(true);
  });

  test("fail all at once, and do not reach the server then", () => {
    const { rig, stall } = stalled();
    const uniques = [1, 2, 3].map(() => take(rig, stall, Opcode.GETATTR, Buffer.alloc(16)));
    stall.failAll(E.ENOTCONN);
    for (const unique of uniques) {
      expect(rig.told()).toMatchObject({ error: -E.ENOTCONN, unique });
    }
    expect(forwardAll(rig, stall)).toEqual([Op.WRITE]);
  });
});

test("files that are closed wait once the one-way messages fill their ring, and none is forgotten", () => {
  const { rig, stall } = stalled();
  const { client } = rig;
  client.holds = true;
  let closed = 0;
  const ask = () => {
    const unique = rig.ask(Opcode.RELEASE, release(++closed));
    client.fuse.next();
    return unique;
  };
  while (ask() > 0 && !stall.concerned) {
    forward(client);
    rig.told();
  }
  const waiting = client.fuse.uniqueLow;
  stall.take(0);
  const refused = ask();
  stall.take(E.EIO);
  expect(rig.told()).toMatchObject({ error: -E.EIO, unique: refused });
  stall.failAll(E.EIO);
  expect(rig.told()).toMatchObject({ error: -E.EIO, unique: waiting });
  // The server is back, and has what it was told so far.
  client.holds = false;
  const told = () => {
    const frames = [];
    do frames.push(...rig.received());
    while (client.sendOwed());
    frames.push(...rig.received());
    return frames.filter(({ kind }) => kind === Kind.ONEWAY);
  };
  const first = told();
  client.oneways.got(first.length);
  while (!stall.isEmpty) stall.forwardNext();
  const handles = [...first, ...told()].map(({ items }) => items[1] as number);
  expect(handles).toEqual(Array.from({ length: closed }, (_, i) => i + 1));
});

describe("requests that are refused", () => {
  test("get their errno and do not reach the server", () => {
    const { rig, stall } = stalled();
    const unique = take(rig, stall, Opcode.MKDIR, Buffer.from("\0\0\0\0\0\0\0\0name\0"), 1, E.EIO);
    expect(rig.told()).toEqual({ error: -E.EIO, unique, body: Buffer.alloc(0) });
    expect(stall.isEmpty).toBe(true);
  });

  test("reach it where they end locks, and are answered only once", () => {
    const { rig, stall } = stalled();
    rig.client.locked.add(NODE);
    const unique = take(rig, stall, Opcode.FLUSH, flush(3), 1, E.EIO);
    expect(rig.told()).toMatchObject({ error: -E.EIO, unique });
    stall.failAll(E.EIO);
    expect(rig.told()).toBeUndefined();
    expect(forwardAll(rig, stall)).toEqual([Op.WRITE, Op.UNLOCK]);
    expect(rig.client.pending.state[1]).toBe(State.ABANDONED);
    expect(rig.told()).toBeUndefined();
  });
});

describe("callers", () => {
  test("that are dying are let go, their unlocking is not", async () => {
    const { rig, stall } = stalled();
    rig.client.locked.add(NODE);
    const gone = await ended();
    const uniques = [
      take(rig, stall, Opcode.GETATTR, Buffer.alloc(16), gone),
      take(rig, stall, Opcode.FLUSH, flush(4), gone),
    ];
    take(rig, stall, Opcode.STATFS, Buffer.alloc(0));
    stall.releaseTheDying();
    expect(rig.told()).toBeUndefined();
    await Bun.sleep(250);
    stall.releaseTheDying();
    for (const unique of uniques) expect(rig.told()).toMatchObject({ error: -E.EINTR, unique });
    expect(rig.told()).toBeUndefined();
    expect(forwardAll(rig, stall)).toEqual([Op.WRITE, Op.UNLOCK, Op.STATFS]);
  });

  test("that get a signal end waits for locks, and nothing else", () => {
    const { rig, stall } = stalled();
    const wait = take(rig, stall, Opcode.SETLKW, LOCK);
    const call = take(rig, stall, Opcode.STATFS, Buffer.alloc(0));
    stall.interrupt(call, 0);
    stall.interrupt(call, 1);
    stall.interrupt(4711, 0);
    expect(rig.told()).toBeUndefined();
    stall.interrupt(wait, 0);
    expect(rig.told()).toMatchObject({ error: -E.EINTR, unique: wait });
    expect(forwardAll(rig, stall)).toEqual([Op.WRITE, Op.STATFS]);
  });
});

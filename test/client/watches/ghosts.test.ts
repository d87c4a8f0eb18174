/** Ghost operations: answered, and never carried out, whoever has to answer them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Head } from "../../../src/client/record.ts";
import { GHOST_HIGH } from "../../../src/client/watches/ghostattributes.ts";
import { GhostChannel, type Happened } from "../../../src/client/watches/ghostchannel.ts";
import {
  DOORBELL_PREFIX,
  GHOST_HANDLE,
  Ghosts,
  HIDDEN_NAME,
} from "../../../src/client/watches/ghosts.ts";
import {
  MKDIR_IN_SIZE,
  MKNOD_IN_SIZE,
  Opcode,
  RENAME2_IN_SIZE,
} from "../../../src/fuse/protocol.ts";
import { E } from "../../../src/sys/errno.ts";
import { FileType, Happening } from "../../../src/wire/constants.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { changesSomething, Op } from "../../../src/wire/ops.ts";
import { release } from "../requests.ts";
import { Rig } from "../rig.ts";

const GHOST = 4242;
const NODE = 9;
const OTHER = 10;
const KERNEL_RESENT = 2n ** 63n;

let rig: Rig;
let channel: GhostChannel;
let found: number[];

beforeEach(() => {
  rig = new Rig();
  channel = new GhostChannel();
  channel.tid = GHOST;
  found = [];
  rig.client.ghosts = new Ghosts(rig.client, channel, (device) => found.push(device));
});
afterEach(() => rig.close());

/** The thread is repeating this. */
function repeating(kinds: number, more: Partial<Happened> = {}): void {
  const nothing = { high: 0, toHigh: 0, nodeHigh: 0, nodeLow: 0, device: 7, roots: 0, notices: 0 };
  const names = { low: NODE, name: "a", toLow: 0, toName: "" };
  while (channel.peek() !== undefined) channel.done();
  expect(channel.put({ ...nothing, ...names, kinds, ...more })).toBe(true);
  channel.repeating = true;
}

const text = (...names: string[]) => Buffer.from(names.map((name) => `${name}\0`).join(""));
const ask = (opcode: number, body?: Buffer, node: number | bigint = NODE) =>
  rig.request(opcode, body, { node, pid: GHOST });
/** Operations that the server got. */
const asked = () => rig.received().map(({ items }) => items[2] as number);
/** What the kernel is told of a name: the halves of its node, and its type. */
function entry(): { low: number; high: number; type: number } {
  const { error, body } = rig.told() as { error: number; body: Buffer };
  expect(error).toBe(0);
  const type = body.readUInt32LE(40 + 60) & FileType.MASK;
  return { low: body.readUInt32LE(0), high: body.readUInt32LE(4), type };
}

describe("a name", () => {
  test("that is made is absent before, and nothing that the server knows afterwards", () => {
    repeating(Happening.CREATE);
    ask(Opcode.LOOKUP, text("a"));
    expect(rig.told()?.error).toBe(-E.ENOENT);
    ask(Opcode.MKNOD, Buffer.concat([Buffer.alloc(MKNOD_IN_SIZE), text("a")]));
    expect(entry()).toMatchObject({ high: GHOST_HIGH, type: FileType.REGULAR });
    repeating(Happening.CREATE | Happening.DIRECTORY);
    ask(Opcode.MKDIR, Buffer.concat([Buffer.alloc(MKDIR_IN_SIZE), text("a")]));
    expect(entry()).toMatchObject({ high: GHOST_HIGH, type: FileType.DIRECTORY });
    expect(asked()).toEqual([]);
  });

  test("that is gone is there until it is removed", () => {
    repeating(Happening.DELETE);
    ask(Opcode.LOOKUP, text("a"));
    expect(entry().high).toBe(GHOST_HIGH);
    ask(Opcode.UNLINK, text("a"));
    expect(rig.told()?.error).toBe(0);
    expect(asked()).toEqual([]);
  });

  test("that is gone is the node that is watched, with the link that it is about to lose", () => {
    repeating(Happening.DELETE, { nodeLow: OTHER });
    ask(Opcode.LOOKUP, text("a"));
    const [request] = rig.received();
    expect(request?.items.slice(2)).toEqual([Op.GETATTR, OTHER, 0]);
    const attributes = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0o100600, 0, 0, 0, 0, 4096, 0];
    rig.reply(request as NonNullable<typeof request>, 0, attributes);
    rig.settle();
    const { body } = rig.told() as { body: Buffer };
    expect([body.readUInt32LE(0), body.readUInt32LE(40 + 64)]).toEqual([OTHER, 1]);
  });

  test("that has moved is asked for where it is now; where it goes nothing is", () => {
    repeating(Happening.MOVE, { toLow: OTHER, toName: "b", nodeLow: 11 });
    ask(Opcode.LOOKUP, text("a"));
    expect(rig.received()[0]?.items.slice(2, 4)).toEqual([Op.LOOKUP, OTHER]);
    ask(Opcode.LOOKUP, text("b"), OTHER);
    expect(rig.told()?.error).toBe(-E.ENOENT);
    ask(Opcode.RENAME2, Buffer.concat([Buffer.alloc(RENAME2_IN_SIZE), text("a", "b")]));
    expect(rig.told()?.error).toBe(0);
    expect(asked()).toEqual([]);
  });

  test("elsewhere is for the thread alone", () => {
    ask(Opcode.LOOKUP, text(HIDDEN_NAME), 1);
    expect(entry()).toMatchObject({ high: GHOST_HIGH, type: FileType.DIRECTORY });
    rig.request(Opcode.LOOKUP, text(HIDDEN_NAME), { node: 1, pid: GHOST + 1 });
    expect(asked()).toEqual([Op.LOOKUP]);
  });
});

describe("an inode", () => {
  test("whose attributes are changed is told to have those that it has", () => {
    repeating(Happening.MODIFY);
    ask(Opcode.SETATTR, Buffer.alloc(88));
    expect(asked()).toEqual([Op.GETATTR]);
    ask(Opcode.SETATTR, Buffer.alloc(88), (BigInt(GHOST_HIGH) << 32n) | 5n);
    expect(rig.told()?.error).toBe(0);
    expect(asked()).toEqual([]);
  });

  test("is opened and closed without the server, and forgotten without it", () => {
    repeating(Happening.CLOSE_WRITE);
    ask(Opcode.OPEN, Buffer.alloc(8));
    expect(rig.told()?.body.readUInt32LE(0)).toBe(GHOST_HANDLE);
    ask(Opcode.FLUSH, Buffer.alloc(24));
    expect(rig.told()?.error).toBe(0);
    // Whoever closes last, the kernel asks as nobody.
    rig.request(Opcode.RELEASE, release(GHOST_HANDLE), { node: NODE, pid: 0 });
    expect(rig.told()?.error).toBe(0);
    const forgotten = { node: (BigInt(GHOST_HIGH) << 32n) | 5n, pid: 0 };
    rig.request(Opcode.FORGET, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), forgotten);
    rig.client.sendOwed();
    expect(asked()).toEqual([]);
  });
});

test("the reactor is told where watches were found", () => {
  ask(Opcode.LOOKUP, text(`${DOORBELL_PREFIX}42`), 1);
  expect(found).toEqual([42]);
  expect(rig.told()?.error).toBe(-E.ENOENT);
});

test("whatever a ghost asks, nothing is changed on the server", () => {
  const bodies = [Buffer.alloc(128), Buffer.concat([Buffer.alloc(16), text("a", "b", "c")])];
  for (const kinds of [0, ...Object.values(Happening)]) {
    repeating(kinds);
    channel.repeating = kinds !== 0;
    for (const opcode of Object.values(Opcode)) {
      const isAbout = opcode !== Opcode.INIT && opcode !== Opcode.INTERRUPT;
      for (const body of isAbout ? bodies : []) {
        ask(opcode, body);
        for (const { kind, items } of rig.received()) {
          if (kind !== Kind.REQUEST) continue;
          const op = items[2] as number;
          expect([opcode, op, changesSomething(op)]).toEqual([opcode, op, false]);
          rig.client.finish(items[0] as number);
        }
        while (rig.told() !== undefined);
      }
    }
  }
});

test("what the thread of a process that died had asked is refused when it is asked again", () => {
  repeating(Happening.DELETE);
  ask(Opcode.UNLINK, text("a"));
  expect(rig.client.record.get(Head.GHOST)).toBe(GHOST);
  const next = new GhostChannel();
  next.tid = GHOST + 1;
  rig.client.ghosts = new Ghosts(rig.client, next, () => {});
  while (rig.told() !== undefined);
  const unique = Number(KERNEL_RESENT + 2n ** 12n);
  rig.request(Opcode.UNLINK, text("a"), { node: NODE, pid: GHOST, unique });
  expect(rig.told()?.error).toBe(-E.EIO);
  expect(asked()).toEqual([]);
  // A process that has the number by now asks like any other.
  rig.request(Opcode.UNLINK, text("a"), { node: NODE, pid: GHOST });
  expect(asked()).toEqual([Op.UNLINK]);
});

test("what the kernel asks as nobody, and again, is not taken for a ghost's", () => {
  const unique = Number(KERNEL_RESENT + 2n ** 12n);
  rig.request(Opcode.UNLINK, text("a"), { node: NODE, pid: 0, unique });
  expect(asked()).toEqual([Op.UNLINK]);
});

test("what the kernel asks as nobody is not given up with a thread that is not there", () => {
  channel.tid = 0;
  rig.request(Opcode.UNLINK, text("a"), { node: NODE, pid: 0 });
  rig.client.ghosts?.giveUp();
  expect(rig.told()).toBeUndefined();
});

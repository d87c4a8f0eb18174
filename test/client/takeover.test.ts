/** Going on with the record of a process that has died, and with what the kernel says once more. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { forward } from "../../src/client/dispatch.ts";
import { RESENT_BIT, State } from "../../src/client/pending.ts";
import { BUFFERS, ClientRecord, Head, RECORD_BYTES } from "../../src/client/record.ts";
import { Stall } from "../../src/client/stall.ts";
import { takeOver } from "../../src/client/takeover.ts";
import { Notify, Opcode } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { allocate, type Region } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { Oneway, Op } from "../../src/wire/ops.ts";
import { MEBIBYTE, read, release, write } from "./requests.ts";
import { Rig } from "./rig.ts";

const GETATTR = Buffer.alloc(16);
const MKDIR = Buffer.from("\0\0\0\0\0\0\0\0name\0");
const SLOTS = 20;
/** The bit in a request's number of 64 bits. */
const RESENT = 2 ** 63;

let region: Region;
let before: Rig;
let after: Rig;
let stall: Stall;

beforeEach(() => {
  region = allocate(RECORD_BYTES);
  before = new Rig(SLOTS, undefined, new ClientRecord(region));
  before.client.record.set(Head.RESENDS, 1);
});
afterEach(() => {
  before.close();
  after.close();
});

/** The process dies: another finds its record. */
function die(): void {
  after = new Rig(SLOTS, undefined, new ClientRecord(region));
  stall = new Stall(after.client);
}

/** The other takes over, after the kernel has sent what it sends again and whatever else. */
function succeed(): boolean {
  const { client } = after;
  return takeOver(client, stall, () => {
    const errno = forward(client);
    if (errno !== 0) client.answerNow(errno);
  });
}

/** The kernel sends the request `unique` again. */
function again(unique: number, opcode: number, body: Uint8Array): void {
  // A number as large as that is a multiple of 2048 where it is a double.
  after.ask(opcode, body, { unique: Number(BigInt(unique) * 4096n) + RESENT });
}

/** A request of the process that dies, with a number that `again` can mark. */
function asked(unique: number, opcode: number, body: Uint8Array): number {
  before.request(opcode, body, { unique: unique * 4096 });
  return before.client.pending.inOrder().at(-1) as number;
}

describe("a kernel that sends again", () => {
  test("is asked to, and what it sends gets back its slot and sequence", () => {
    const slots = [asked(1, Opcode.GETATTR, GETATTR), asked(2, Opcode.MKDIR, MKDIR)];
    die();
    again(1, Opcode.GETATTR, GETATTR);
    again(2, Opcode.MKDIR, MKDIR);
    expect(succeed()).toBe(false);
    expect(after.told()).toMatchObject({ unique: 0, error: Notify.RESEND });
    const { pending, retained, fuse } = after.client;
    expect(pending.inOrder()).toEqual(slots);
    for (const [i, slot] of slots.entries()) {
      expect(pending.state[slot]).toBe(State.ASKED);
      expect(pending.sequence[slot]).toBe(1);
      expect(pending.uniqueHigh[slot]).toBe(RESENT_BIT);
      expect(pending.uniqueLow[slot]).toBe((i + 1) * 4096);
      retained.replay(slot, () => expect(fuse.opcode).toBe([3, 9][i] as number));
    }
    expect(after.client.holds).toBe(true);
    expect(stall.isEmpty).toBe(true);
    expect(after.told()).toBeUndefined();
  });

  test("has the answers to what it does not send", () => {
    const [answered, waiting] = [
      asked(1, Opcode.GETATTR, GETATTR),
      asked(2, Opcode.GETATTR, GETATTR),
    ];
    before.client.pending.state[answered] = State.ANSWERED;
    die();
    again(2, Opcode.GETATTR, GETATTR);
    succeed();
    const { pending } = after.client;
    expect(pending.state[answered]).toBe(State.FREE);
    expect(pending.inOrder()).toEqual([waiting]);
    expect(pending.take()).toBe(answered);
    expect(pending.sequence[answered]).toBe(2);
  });

  test("sends no more what a caller asked that was killed: the server is told so", () => {
    const slot = asked(1, Opcode.MKDIR, MKDIR);
    die();
    succeed();
    expect(after.client.pending.state[slot]).toBe(State.ABANDONED);
  });

  test("sends what it was being answered with when the process died", () => {
    const slot = asked(1, Opcode.MKDIR, MKDIR);
    before.client.pending.state[slot] = State.ANSWERED;
    die();
    again(1, Opcode.MKDIR, MKDIR);
    succeed();
    expect(after.client.pending.state[slot]).toBe(State.ASKED);
  });

  test("sends what was answered early, and not known to be: it is asked after all", () => {
    const slot = asked(1, Opcode.MKDIR, MKDIR);
    before.client.pending.state[slot] = State.ABANDONED;
    die();
    again(1, Opcode.MKDIR, MKDIR);
    succeed();
    expect(after.client.pending.state[slot]).toBe(State.ASKED);
  });

  test("keeps requests of our own, and those answered early, as they are", () => {
    const abandoned = asked(1, Opcode.MKDIR, MKDIR);
    before.client.pending.state[abandoned] = State.ABANDONED;
    before.client.askForOurselves(Op.PING);
    before.client.send();
    die();
    succeed();
    const { pending } = after.client;
    expect([pending.state[0], pending.state[1]]).toEqual([State.ABANDONED, State.OWN]);
  });

  test("asks new things meanwhile, which wait, or need no server", () => {
    const slot = asked(1, Opcode.GETATTR, GETATTR);
    die();
    after.ask(Opcode.FORGET, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), { node: 9 });
    again(1, Opcode.GETATTR, GETATTR);
    const opened = after.ask(Opcode.OPENDIR, Buffer.alloc(8));
    after.ask(Opcode.STATFS);
    after.ask(Opcode.RELEASE, release(5), { unique: 99 });
    succeed();
    after.told();
    expect(after.told()).toMatchObject({ unique: opened, error: 0 });
    expect(after.told()).toMatchObject({ unique: 99, error: 0 });
    expect(after.told()).toBeUndefined();
    const { client } = after;
    expect(client.pending.inOrder()).toEqual([slot]);
    client.holds = false;
    stall.forwardNext();
    expect(stall.isEmpty).toBe(true);
    const got = after.received().map(({ items }) => items);
    expect(got.map(([first, , third]) => third ?? first)).toContain(Op.STATFS);
    expect(got).toContainEqual([Oneway.RELEASE, 5]);
  });

  test("is told of a close once, whether or not the answer to it came", () => {
    before.request(Opcode.RELEASE, release(5), { unique: 7 * 4096 });
    die();
    again(7, Opcode.RELEASE, release(5));
    succeed();
    after.told();
    expect(after.told()).toMatchObject({ error: 0 });
    after.client.holds = false;
    after.client.sendOwed();
    expect(after.received().map(({ items }) => items)).toEqual([[Oneway.RELEASE, 5]]);
  });

  test("sends large requests, whose data is kept; all that were kept are let go otherwise", () => {
    const data = Array.from({ length: BUFFERS - 1 }, (_, i) => Buffer.alloc(MEBIBYTE, `${i} `));
    const slots = data.map((bytes, i) => {
      const slot = asked(i + 1, Opcode.WRITE, write(i, bytes));
      before.received();
      return slot;
    });
    for (const slot of slots.slice(2)) before.client.pending.state[slot] = State.ANSWERED;
    die();
    // As many as the kernel's socket holds.
    const sent = data.slice(0, 2);
    for (const [i, bytes] of sent.entries()) again(i + 1, Opcode.WRITE, write(i, bytes));
    succeed();
    const { pending, retained, fuse } = after.client;
    expect(pending.inOrder()).toEqual(slots.slice(0, 2));
    for (const [i, slot] of slots.slice(0, 2).entries()) {
      retained.replay(slot, () => {
        const kept = fuse.request.bytes.subarray(80, fuse.length);
        expect(kept.equals(sent[i] as Buffer)).toBe(true);
      });
    }
    expect(retained.hasRoom).toBe(true);
  });

  test("says that the file system is gone", () => {
    asked(1, Opcode.GETATTR, GETATTR);
    die();
    close(after.kernel);
    expect(succeed()).toBe(true);
  });
});

describe("a kernel that does not", () => {
  beforeEach(() => before.client.record.set(Head.RESENDS, 0));

  test("is told nothing, and what the record kept is asked again", () => {
    const slot = asked(1, Opcode.READ, read(3, 4096, 100));
    die();
    expect(succeed()).toBe(false);
    expect(after.told()).toBeUndefined();
    const { pending, retained, fuse } = after.client;
    expect([pending.state[slot], pending.sequence[slot]]).toEqual([State.ASKED, 1]);
    retained.replay(slot, () => {
      expect(fuse.opcode).toBe(Opcode.READ);
      expect(after.client.u32(16)).toBe(100);
    });
    after.client.answerErrno(slot, E.EIO);
    expect(after.told()).toMatchObject({ unique: 4096, error: -E.EIO });
  });
});

test("the server is told that events were not heard", () => {
  before.client.record.set(Head.EVENTS, 5);
  die();
  succeed();
  expect(after.client.record.get(Head.EVENTS)).toBeGreaterThan(2 ** 32);
});

/** Connections that are lost while requests are under way, and what is sent on the next one. */
import { afterEach, describe, expect, test } from "bun:test";
import { NoticeKind } from "../../src/client/noticequeue.ts";
import { Opcode } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Oneway, Op } from "../../src/wire/ops.ts";
import { Linked, type LinkedOptions, SESSION } from "./linked.ts";
import { MEBIBYTE, read, release, write } from "./requests.ts";
import type { Frame } from "./rig.ts";

const GETATTR = Buffer.alloc(16);
const LOCK = Buffer.alloc(48);
const NAME = Buffer.from("name\0");
const MKDIR = Buffer.concat([Buffer.alloc(8), NAME]);
/** Nothing is said for this long by a client that has nothing to say. */
const QUIET_MS = 150;

let linked: Linked;
afterEach(async () => await linked.end());

function start(options?: LinkedOptions): Linked {
  linked = new Linked(options);
  return linked;
}

/** What tells frames apart: kind, then slot, sequence and operation, or the message. */
function outline({ kind, items }: Frame): number[] {
  return [kind, ...items.slice(0, kind === Kind.REQUEST ? 3 : 2)];
}

async function ended(): Promise<number> {
  const child = Bun.spawn(["true"]);
  await child.exited;
  return child.pid;
}

/** An INTERRUPT of the request `unique`. */
function interrupt(unique: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(BigInt(unique));
  return body;
}

describe("after a cut", () => {
  test("requests and one-way messages are sent again, in their order and as they were", () => {
    start();
    const first = linked.ask(Opcode.GETATTR, GETATTR);
    linked.ask(Opcode.RELEASE, release(7));
    const second = linked.ask(Opcode.MKDIR, MKDIR, { node: 5 });
    linked.ask(Opcode.RELEASE, release(8));
    const third = linked.ask(Opcode.READ, read(3, 4096, 100));
    const frames = linked.frames(5);
    expect(frames.map(outline)).toEqual([
      [Kind.REQUEST, 0, 1, Op.GETATTR],
      [Kind.ONEWAY, Oneway.RELEASE, 7],
      [Kind.REQUEST, 1, 1, Op.MKDIR],
      [Kind.ONEWAY, Oneway.RELEASE, 8],
      [Kind.REQUEST, 2, 1, Op.READ],
    ]);
    linked.cut();
    expect(linked.resume()).toMatchObject({ session: SESSION, resumes: true, events: 0 });
    expect(linked.frames(5)).toEqual(frames);
    expect(linked.silent(QUIET_MS)).toBe(true);
    // The two releases were answered at once.
    expect([linked.told().unique, linked.told().unique].sort()).toEqual([2, 4]);
    linked.reply(frames[4] as Frame, 0, [], Buffer.from("data"));
    linked.reply(frames[2] as Frame, E.EEXIST);
    linked.reply(frames[0] as Frame, E.ESTALE);
    expect(linked.told()).toEqual({ error: 0, unique: third, body: Buffer.from("data") });
    expect(linked.told()).toMatchObject({ error: -E.EEXIST, unique: second });
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique: first });
  });

  test("messages that the server says it has are not sent again", () => {
    start();
    for (const handle of [1, 2, 3]) linked.ask(Opcode.RELEASE, release(handle));
    linked.ask(Opcode.GETATTR, GETATTR);
    const frames = linked.frames(4);
    linked.cut();
    linked.resume({ oneways: 2 });
    expect(linked.frames(2)).toEqual(frames.slice(2));
    linked.cut();
    linked.resume({ oneways: 3 });
    expect(linked.frames(1)).toEqual(frames.slice(3));
    expect(linked.silent(QUIET_MS)).toBe(true);
  });

  test("what was answered is not sent again, and its slot goes on counting", () => {
    start();
    linked.ask(Opcode.GETATTR, GETATTR);
    linked.ask(Opcode.GETATTR, GETATTR);
    const [one, other] = linked.frames(2);
    linked.reply(one as Frame, E.ESTALE);
    linked.told();
    linked.cut();
    linked.resume();
    expect(linked.frames(1)).toEqual([other as Frame]);
    linked.ask(Opcode.STATFS);
    expect(linked.frames(1).map(outline)).toEqual([[Kind.REQUEST, 0, 2, Op.STATFS]]);
  });

  test("what came meanwhile follows what is sent again", () => {
    start();
    linked.ask(Opcode.GETATTR, GETATTR);
    const [before] = linked.frames(1);
    linked.cut();
    linked.ask(Opcode.RELEASE, release(9));
    linked.ask(Opcode.STATFS);
    expect(linked.tellsNothing(2 * QUIET_MS)).toBe(false);
    linked.resume();
    expect(linked.frames(3).map(outline)).toEqual([
      outline(before as Frame),
      [Kind.ONEWAY, Oneway.RELEASE, 9],
      [Kind.REQUEST, 1, 1, Op.STATFS],
    ]);
  });

  test("a request whose caller has died is cancelled, once the connection is back", async () => {
    start();
    const caller = Bun.spawn(["sleep", "60"]);
    const dying = linked.ask(Opcode.GETATTR, GETATTR, { pid: caller.pid });
    const [asked] = linked.frames(1);
    linked.cut();
    caller.kill("SIGKILL");
    await caller.exited;
    linked.ask(Opcode.INTERRUPT, interrupt(dying));
    expect(linked.told()).toMatchObject({ error: -E.EINTR, unique: dying });
    linked.resume();
    expect(linked.frames(1)).toMatchObject([{ kind: Kind.CANCEL, items: [0, 1] }]);
    linked.reply(asked as Frame, E.EINTR);
    linked.ask(Opcode.STATFS);
    expect(linked.frames(1).map(outline)).toEqual([[Kind.REQUEST, 0, 2, Op.STATFS]]);
  });

  test("of what was cancelled and may have happened, the kernel is told to ask again", async () => {
    start();
    const caller = Bun.spawn(["sleep", "60"]);
    const dying = linked.ask(Opcode.UNLINK, NAME, { pid: caller.pid, node: 5 });
    const [asked] = linked.frames(1);
    linked.cut();
    caller.kill("SIGKILL");
    await caller.exited;
    linked.ask(Opcode.INTERRUPT, interrupt(dying));
    expect(linked.told()).toMatchObject({ error: -E.EINTR, unique: dying });
    linked.resume({ lives: 2 });
    linked.frames(1);
    linked.reply(asked as Frame, E.EINTR);
    const next = linked.ask(Opcode.STATFS);
    linked.reply(linked.frames(1)[0] as Frame, E.ESTALE);
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique: next });
    const notices = linked.said().flatMap((line) => line.notice ?? []);
    expect(notices).toEqual([`${NoticeKind.ENTRY} 5 name`, `${NoticeKind.DATA} 5 `]);
  });

  test("a wait for a lock that got a signal is asked again, and cancelled", () => {
    start();
    const wait = linked.ask(Opcode.SETLKW, LOCK);
    const [asked] = linked.frames(1);
    linked.cut();
    linked.ask(Opcode.INTERRUPT, interrupt(wait));
    linked.ask(Opcode.RELEASE, release(1));
    linked.told();
    linked.resume();
    const frames = linked.frames(3);
    expect(frames[0]).toEqual(asked as Frame);
    expect(frames[1]).toMatchObject({ kind: Kind.CANCEL, items: [0, 1] });
    expect(frames[2]).toMatchObject({ kind: Kind.ONEWAY });
    linked.reply(asked as Frame, E.EINTR);
    expect(linked.told()).toMatchObject({ error: -E.EINTR, unique: wait });
  });

  test("large writes are sent again with their data, more of them than a socket holds", () => {
    start();
    const data = Array.from({ length: 12 }, (_, i) => Buffer.alloc(MEBIBYTE, `write ${i} `));
    const some: Frame[] = [];
    const uniques = data.map((bytes, i) => {
      const unique = linked.ask(Opcode.WRITE, write(i, bytes));
      some.push(...linked.frames(1));
      return unique;
    });
    linked.cut();
    linked.resume();
    const frames = linked.frames(data.length);
    expect(frames.map(outline)).toEqual(some.map(outline));
    for (const [i, { items, payload }] of frames.entries()) {
      expect(items.slice(0, 4)).toEqual([i, 1, Op.WRITE, i]);
      expect(payload.equals(data[i] as Buffer)).toBe(true);
    }
    for (const frame of frames) linked.reply(frame, 0, [MEBIBYTE]);
    for (const unique of uniques) expect(linked.told()).toMatchObject({ error: 0, unique });
  });

  test("events that came are counted", () => {
    start();
    linked.say(Kind.EVENT, [2, 77n, 1, 0]);
    linked.ask(Opcode.GETATTR, GETATTR);
    linked.frames(1);
    linked.say(Kind.EVENT, [2, 78n, 0, 0]);
    linked.ask(Opcode.GETATTR, GETATTR);
    linked.frames(1);
    linked.cut();
    expect(linked.accept().events).toBe(2);
  });

  test("another connection that is lost in the midst changes nothing", () => {
    start();
    const uniques = Array.from({ length: 5 }, () => linked.ask(Opcode.GETATTR, GETATTR));
    const frames = linked.frames(5);
    for (let round = 0; round < 3; round++) {
      linked.cut();
      linked.resume();
      expect(linked.frames(5)).toEqual(frames);
    }
    for (const frame of frames) linked.reply(frame, E.ESTALE);
    for (const unique of uniques) expect(linked.told().unique).toBe(unique);
  });
});

describe("a server that has lost the session", () => {
  /** Answers ATTACH, of which the connection's frame must come. */
  function attach(): void {
    const [asked] = linked.frames(1);
    expect(outline(asked as Frame)).toEqual([Kind.REQUEST, 0, 1, Op.ATTACH]);
    expect(asked?.items[4]).toBe(2);
    const attributes = new Array<number>(16).fill(0);
    linked.reply(asked as Frame, 0, [0, 0, 1n, ...attributes]);
  }

  test("gets a new one; what was under way fails, and slots begin at 1", () => {
    start();
    const reading = linked.ask(Opcode.GETATTR, GETATTR);
    const changing = linked.ask(Opcode.MKDIR, MKDIR);
    const syncing = linked.ask(Opcode.FSYNC, Buffer.alloc(16));
    linked.ask(Opcode.RELEASE, release(4));
    linked.frames(4);
    linked.told();
    linked.cut();
    linked.resume({ resumed: false });
    attach();
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique: reading });
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique: changing });
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique: syncing });
    linked.ask(Opcode.STATFS);
    linked.ask(Opcode.STATFS);
    expect(linked.frames(2).map(outline)).toEqual([
      [Kind.REQUEST, 0, 2, Op.STATFS],
      [Kind.REQUEST, 1, 1, Op.STATFS],
    ]);
    expect(linked.said()).toContainEqual(expect.objectContaining({ kind: "back", anew: true }));
  });

  test("and says that it has more messages than were sent is refused, and looked for again", () => {
    start();
    const unique = linked.ask(Opcode.MKDIR, MKDIR);
    linked.frames(1);
    linked.cut();
    linked.resume({ oneways: 5 });
    expect(() => linked.frames(1)).toThrow("It hung up");
    linked.resume({ resumed: false });
    attach();
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique });
  });
});

describe("connections in a row that bring no answer", () => {
  test("end in EIO for what was asked, and in nothing else", () => {
    start();
    const asked = linked.ask(Opcode.GETATTR, GETATTR);
    linked.frames(1);
    for (let lost = 0; lost < 6; lost++) {
      linked.cut();
      linked.resume();
      expect(linked.frames(1).map(outline)).toEqual([[Kind.REQUEST, 0, 1, Op.GETATTR]]);
      expect(linked.tellsNothing(0)).toBe(true);
    }
    linked.cut();
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique: asked });
    linked.resume();
    const [cancel] = linked.frames(1);
    expect(cancel).toMatchObject({ kind: Kind.CANCEL, items: [0, 1] });
    linked.reply(cancel as Frame, E.EINTR);
    const next = linked.ask(Opcode.STATFS);
    const [frame] = linked.frames(1);
    linked.reply(frame as Frame, E.ESTALE);
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique: next });
  }, 30_000);

  test("do no harm where nothing was asked", () => {
    start();
    linked.ask(Opcode.RELEASE, release(1));
    linked.frames(1);
    linked.told();
    for (let lost = 0; lost < 7; lost++) {
      linked.cut();
      linked.resume({ oneways: 1 });
    }
    const unique = linked.ask(Opcode.GETATTR, GETATTR);
    const [asked] = linked.frames(1);
    linked.cut();
    linked.resume({ oneways: 1 });
    expect(linked.frames(1)).toEqual([asked as Frame]);
    expect(linked.tellsNothing(0)).toBe(true);
    linked.reply(asked as Frame, E.ESTALE);
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique });
  }, 30_000);
});

describe("while there is no connection", () => {
  test.each([
    ["what was asked before", true],
    ["what is asked then", false],
  ])("%s fails with EIO after the bound, and later things work", (_, isBefore) => {
    start({ timeoutMs: 600 });
    if (isBefore) linked.ask(Opcode.GETATTR, GETATTR);
    else linked.ask(Opcode.RELEASE, release(1));
    linked.frames(1);
    if (!isBefore) linked.told();
    linked.cut();
    const unique = isBefore ? 1 : linked.ask(Opcode.GETATTR, GETATTR);
    expect(linked.tellsNothing(400)).toBe(true);
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique });
    const during = linked.ask(Opcode.MKDIR, MKDIR);
    expect(linked.told()).toMatchObject({ error: -E.EIO, unique: during });
    linked.resume();
    // What failed is cancelled, or was never sent.
    const [first] = linked.frames(1);
    if (isBefore) expect(first).toMatchObject({ kind: Kind.CANCEL, items: [0, 1] });
    else expect(first).toMatchObject({ kind: Kind.ONEWAY });
    if (isBefore) linked.reply(first as Frame, E.EINTR);
    const later = linked.ask(Opcode.STATFS);
    const [asked] = linked.frames(1);
    linked.reply(asked as Frame, E.ESTALE);
    expect(linked.told()).toMatchObject({ error: -E.ESTALE, unique: later });
  });

  test("nothing fails where there is no bound", () => {
    start({ timeoutMs: 0 });
    const before = linked.ask(Opcode.GETATTR, GETATTR);
    linked.frames(1);
    linked.cut();
    const after = linked.ask(Opcode.STATFS);
    expect(linked.tellsNothing(1500)).toBe(true);
    linked.resume();
    const frames = linked.frames(2);
    for (const frame of frames) linked.reply(frame, E.ESTALE);
    expect([linked.told().unique, linked.told().unique]).toEqual([before, after]);
  });

  test("callers that die are let go, also of what is asked then", async () => {
    start();
    linked.ask(Opcode.RELEASE, release(1));
    linked.frames(1);
    linked.told();
    linked.cut();
    const unique = linked.ask(Opcode.STATFS, Buffer.alloc(0), { pid: await ended() });
    expect(linked.told()).toMatchObject({ error: -E.EINTR, unique });
    linked.resume({ oneways: 1 });
    expect(linked.silent(QUIET_MS)).toBe(true);
  });
});

/** Answers and streams that are kept until there is somebody for them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { HeldStream } from "../../../src/client/twins/held.ts";
import { type Parked, ParkedAnswers } from "../../../src/client/twins/parked.ts";
import { Opcode } from "../../../src/fuse/protocol.ts";
import type { Stream, StreamHandler } from "../../../src/session/stream.ts";
import { E } from "../../../src/sys/errno.ts";
import { BridgePair } from "../../bridge/pair.ts";
import { Rig } from "../rig.ts";

/** No process has this number (linux/threads.h: PID_MAX_LIMIT). */
const NOBODY = 4_194_305;

describe("an answer", () => {
  let rig: Rig;
  let answers: ParkedAnswers;
  let dropped: number;
  beforeEach(() => {
    rig = new Rig();
    answers = new ParkedAnswers(rig.client);
    dropped = 0;
  });
  afterEach(() => rig.close());

  /** Parks "hello" for a request of a process. */
  function park(pid: number): { unique: number; parked: Parked } {
    const unique = rig.request(Opcode.STATFS, undefined, { pid });
    const { answer } = rig.client.fuse;
    answer.bytes.write("hello", rig.client.answerBody);
    const slot = rig.client.pending.find(unique, 0);
    const parked = answers.park(slot, 5, () => {
      dropped++;
    });
    answer.bytes.fill(0, rig.client.answerBody, rig.client.answerBody + 5);
    if (parked === undefined) throw new Error("there is no room");
    return { unique, parked };
  }

  test("is given once", () => {
    const { unique, parked } = park(process.pid);
    expect(rig.told()).toBeUndefined();
    answers.answer(parked);
    answers.answer(parked);
    expect(rig.told()).toEqual({ error: 0, unique, body: Buffer.from("hello") });
    expect([rig.told(), answers.count, dropped]).toEqual([undefined, 0, 0]);
  });

  test("is not waited for by a caller that dies, but by one that has a signal", () => {
    const living = park(process.pid);
    const dying = park(NOBODY);
    for (const { unique } of [living, dying]) answers.interrupt(unique, 0);
    expect(rig.told()).toMatchObject({ unique: dying.unique, error: -E.EINTR });
    expect([rig.told(), answers.count, dropped]).toEqual([undefined, 1, 1]);
  });

  test("can be an error for everybody", () => {
    park(process.pid);
    park(process.pid);
    answers.failAll(E.EIO);
    expect([rig.told()?.error, rig.told()?.error]).toEqual([-E.EIO, -E.EIO]);
    expect(dropped).toBe(2);
  });
});

describe("a stream", () => {
  /** What a handler is told, in order. */
  function told(): { handler: StreamHandler; events: string[] } {
    const events: string[] = [];
    const note = (text: string) => {
      events.push(text);
    };
    const handler: StreamHandler = {
      onData: (_, bytes) => note(`data ${Buffer.from(bytes)}`),
      onEof: () => note("eof"),
      onReset: (_, errno) => note(`reset ${errno}`),
      onOutOfBand: (_, type, bytes) => note(`message ${type} ${Buffer.from(bytes)}`),
      onWritable: () => note("writable"),
      onClosed: () => note("closed"),
    };
    return { handler, events };
  }

  let pair: BridgePair;
  let far: Stream;
  let held: HeldStream | undefined;
  beforeEach(() => {
    pair = new BridgePair();
    held = undefined;
    pair.accept = (stream) => {
      held = new HeldStream(stream);
      return held;
    };
  });
  afterEach(() => pair.close());

  /** The stream's end that keeps what comes, and what its other end is told. */
  function open(): { near: HeldStream; farEvents: string[] } {
    const { handler, events } = told();
    const opened = pair.client.streams.open(1, new Uint8Array(0), handler);
    if (opened === undefined) throw new Error("no stream");
    far = opened;
    pair.until(() => held !== undefined);
    return { near: held as HeldStream, farEvents: events };
  }

  test("is given on with all that has come, in its order", () => {
    const { near } = open();
    far.send(Buffer.from("one"));
    far.sendOutOfBand(3, Buffer.from("beside"));
    far.send(Buffer.from("two"));
    far.end();
    pair.settle();
    const { handler, events } = told();
    near.giveTo(handler);
    expect(events).toEqual(["data one", "message 3 beside", "data two", "eof"]);
    expect(near.isOver).toBe(false);
  });

  test("that the peer gives up is over", () => {
    const { near } = open();
    far.reset(E.EPIPE);
    pair.until(() => near.isOver);
    const { handler, events } = told();
    near.giveTo(handler);
    expect(events).toEqual([`reset ${E.EPIPE}`]);
  });

  test("can be refused", () => {
    const { near, farEvents } = open();
    near.refuse(E.ECONNREFUSED);
    pair.until(() => farEvents.length > 0);
    expect(farEvents[0]).toBe(`reset ${E.ECONNREFUSED}`);
  });
});

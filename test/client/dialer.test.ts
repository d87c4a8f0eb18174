/** Finding a server, against sockets of the test's own. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { ATTEMPTS_MAX, type Dialed, Dialer } from "../../src/client/dialer.ts";
import { machineFacts } from "../../src/info/facts.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import {
  accept,
  boundPort,
  connectTcp,
  listenTcp,
  listenUnix,
  send,
} from "../../src/sys/socket.ts";
import { type Address, parseAddress } from "../../src/transport/address.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { encodeHello, type ServerHello } from "../../src/wire/hello.ts";
import { VERSION_MAX } from "../../src/wire/limits.ts";
import { Op } from "../../src/wire/ops.ts";
import { encode } from "../fault/fuzz-client/mutate.ts";
import { helloOf } from "../support/client.ts";
import { ok } from "../sys/support.ts";

const SESSION = "00112233445566778899aabbccddeeff";
const NEXT_EPOCH = 4;
const BACKLOG = 64;
/** Sooner than a connection that says nothing is given up. */
const SOON_MS = 2000;
const room = allocate(4096);

let directory: string;
let dialer: Dialer;
let refusals: string[];
let opened: (() => void)[];
let before: number;

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/qtfs-dialer-`);
  before = descriptors();
  refusals = [];
  opened = [];
});
afterEach(() => {
  dialer.stop();
  for (const end of opened) end();
  rmSync(directory, { recursive: true });
  expect(descriptors()).toBe(before);
});

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function dial(...addresses: string[]): void {
  dialer = new Dialer({
    addresses: addresses.map((one): Address => parseAddress(one)),
    source: "/host",
    splits: true,
    facts: machineFacts(),
    session: () => ({ id: SESSION, resumes: true, epoch: 1, events: 3 }),
    epoch: () => NEXT_EPOCH,
    refused: (reason) => refusals.push(reason),
  });
  dialer.begin();
}

/** A server's HELLO as a frame. */
function greeting(changes: Partial<ServerHello> = {}): Buffer {
  const standing = { slots: 8, leaseMs: 60_000, resumed: true, oneways: 0, lives: 1 };
  const { facts } = helloOf();
  const hello = { version: VERSION_MAX, capabilities: [], facts, ...standing, ...changes };
  const header = Buffer.from(encodeHello(hello));
  return encode({ kind: Kind.HELLO, header, payload: Buffer.alloc(0) });
}

/** The server's end of a connection. */
class End {
  readonly transport: SocketTransport;

  constructor(fd: number) {
    this.transport = new SocketTransport(fd, { description: "the dialer" });
    opened.push(() => this.close());
  }

  /** Whether a frame of `kind` has come. */
  heard(kind: number): boolean {
    if (!this.transport.hasMore) this.transport.receive();
    return this.transport.next() && this.transport.kind === kind;
  }

  /** The server's HELLO. */
  greet(changes: Partial<ServerHello> = {}): void {
    this.send(greeting(changes));
  }

  send(bytes: Buffer): void {
    room.bytes.set(bytes);
    expect(send(this.transport.fd, room.address, bytes.length, 0)).toBe(bytes.length);
  }

  say(kind: number, numbers: readonly number[], text?: string): void {
    const w = this.transport.begin(kind);
    w.array(numbers.length + (text === undefined ? 0 : 1));
    for (const number of numbers) w.uint(number);
    if (text !== undefined) w.latin1(text);
    this.transport.end();
    this.transport.flush();
  }

  close(): void {
    if (!this.transport.closed) this.transport.close();
  }
}

class Listener {
  readonly ends: End[] = [];
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    opened.push(() => close(fd));
  }

  static unix(name: string): Listener {
    return new Listener(ok(listenUnix(`${directory}/${name}`, 0o600, BACKLOG)));
  }

  static tcp(backlog = BACKLOG): Listener {
    return new Listener(ok(listenTcp("127.0.0.1", 0, backlog)));
  }

  get port(): number {
    return boundPort(this.#fd);
  }

  /** Accepts all that wait. */
  look(): void {
    for (let fd = accept(this.#fd); fd >= 0; fd = accept(this.#fd)) this.ends.push(new End(fd));
  }
}

/** Steps the dialer as a reactor would, for `ms` or until there is a connection or `done`. */
function run(ms: number, done: () => boolean = () => false): Dialed | undefined {
  const polls = new PollSet(ATTEMPTS_MAX);
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs && !done()) {
    const dialed = dialer.step();
    if (dialed !== undefined) return dialed;
    polls.clear();
    dialer.addTo(polls);
    polls.wait(Math.min(5, dialer.waitMs));
  }
  return undefined;
}

/** The first connection to `listener`, once its HELLO has come. */
function greeted(listener: Listener, from = 0): End {
  const end = () => listener.ends[from];
  const arrived = () => {
    listener.look();
    return end()?.heard(Kind.HELLO) ?? false;
  };
  let isThere = false;
  run(SOON_MS, () => {
    isThere = arrived();
    return isThere;
  });
  expect(isThere).toBe(true);
  return end() as End;
}

function use(dialed: Dialed | undefined): ServerHello {
  if (dialed === undefined) throw new Error("There is no connection");
  dialed.transport.close();
  dialed.transport.release();
  return dialed.hello;
}

const unix = (name: string) => `unix://${directory}/${name}`;

test("nobody listens, and then somebody does", () => {
  dial(unix("late"), "tcp://127.0.0.1:1");
  expect(run(300)).toBeUndefined();
  expect(descriptors()).toBeLessThan(before + ATTEMPTS_MAX);
  const listener = Listener.unix("late");
  greeted(listener).greet({ oneways: 5 });
  expect(use(run(2000))).toMatchObject({ resumed: true, oneways: 5 });
  expect(dialer.active).toBe(false);
});

test("over TCP, the session's name is said", () => {
  const listener = Listener.tcp();
  dial(`tcp://127.0.0.1:${listener.port}`);
  const end = greeted(listener);
  const { reader } = end.transport;
  const said = Buffer.from(reader.bytes.subarray(reader.at, reader.end)).toString("latin1");
  expect(said).toContain(SESSION);
  end.greet();
  expect(use(run(2000)).resumed).toBe(true);
});

test("addresses are tried in turn", () => {
  const listener = Listener.unix("second");
  dial(unix("first"), unix("second"));
  greeted(listener).greet();
  expect(use(run(2000)).resumed).toBe(true);
});

test("a server that has lost the session is attached to", () => {
  const listener = Listener.unix("server");
  dial(unix("server"));
  const end = greeted(listener);
  end.greet({ resumed: false });
  expect(run(2000, () => end.heard(Kind.REQUEST))).toBeUndefined();
  const { reader } = end.transport;
  reader.array();
  expect([reader.uint(), reader.uint(), reader.uint()]).toEqual([0, 1, Op.ATTACH]);
  expect(reader.latin1(100)).toBe("/host");
  expect(reader.uint()).toBe(NEXT_EPOCH);
  end.say(Kind.REPLY, [0, 1, 0, 1, 0, 7, ...new Array<number>(16).fill(0)]);
  const dialed = run(2000);
  expect(dialed?.root?.readOnly).toBe(true);
  use(dialed);
});

describe("a server that", () => {
  test("accepts and says nothing is tried again after a while, and not more often", () => {
    const listener = Listener.unix("silent");
    dial(unix("silent"));
    greeted(listener);
    run(2500, () => {
      listener.look();
      return listener.ends.length > 1;
    });
    expect(listener.ends.length).toBe(1);
    greeted(listener, 1).greet();
    expect(use(run(2000)).resumed).toBe(true);
    // The connection that was not used has ended.
    listener.ends[0]?.transport.receive();
    expect(listener.ends[0]?.transport.closed).toBe(true);
  }, 20_000);

  test("refuses is left alone for a second, and what it says is told", () => {
    const listener = Listener.unix("refusing");
    dial(unix("refusing"));
    greeted(listener).say(Kind.GOODBYE, [3], "too many sessions");
    run(800, () => {
      listener.look();
      return listener.ends.length > 1;
    });
    expect(listener.ends.length).toBe(1);
    expect(refusals).toEqual([`${unix("refusing")}: The server refused: too many sessions`]);
    greeted(listener, 1).greet();
    expect(use(run(2000)).resumed).toBe(true);
  });

  test.each([
    ["hangs up", (end: End) => end.close()],
    [
      "hangs up in the midst of its HELLO",
      (end: End) => {
        end.send(greeting().subarray(0, 40));
        end.close();
      },
    ],
  ])("%s is tried again soon", (_, spoil) => {
    const listener = Listener.unix("brief");
    dial(unix("brief"));
    spoil(greeted(listener));
    const open = descriptors();
    greeted(listener, 1);
    expect(descriptors()).toBeLessThanOrEqual(open + 1);
    listener.ends[1]?.greet();
    expect(use(run(2000)).resumed).toBe(true);
  });

  test("speaks something else is refused", () => {
    const listener = Listener.unix("other");
    dial(unix("other"));
    greeted(listener).say(Kind.REPLY, [0, 1, 0]);
    run(300);
    expect(refusals).toEqual([`${unix("other")}: server answers with another kind of frame`]);
  });
});

test("of connections that get through together one alone is greeted", () => {
  const listener = Listener.tcp(0);
  const { port } = listener;
  // Its queue is full now: what comes gets through when that is taken away.
  const fillers = [ok(connectTcp("127.0.0.1", port))];
  dial(`tcp://127.0.0.1:${port}`);
  run(700);
  greeted(listener, 1);
  run(1500, () => {
    listener.look();
    return false;
  });
  const others = listener.ends.slice(2).filter((end) => end.heard(Kind.HELLO));
  expect(others).toEqual([]);
  for (const fd of fillers) close(fd);
});

test("stopping closes everything", () => {
  const listener = Listener.unix("one");
  dial(unix("one"), "tcp://127.0.0.1:1");
  greeted(listener);
  dialer.stop();
  expect(dialer.active).toBe(false);
  listener.ends[0]?.transport.receive();
  expect(listener.ends[0]?.transport.closed).toBe(true);
  const polls = new PollSet(ATTEMPTS_MAX);
  dialer.addTo(polls);
  polls.add(-1, POLLIN);
  expect(polls.wait(0)).toBe(0);
});

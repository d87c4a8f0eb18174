/** Many connections at once with random sizes, pauses and descriptors, over a narrow connection. */
import { expect, test } from "bun:test";
import { encode } from "cbor-x/encode";
import { BytePump, Shape } from "../../src/bridge/pumpbytes.ts";
import { MessagePump } from "../../src/bridge/pumpmessages.ts";
import { Rights } from "../../src/bridge/rights/rights.ts";
import { NO_SHARE } from "../../src/bridge/rights/share.ts";
import type { Streams } from "../../src/session/streams.ts";
import { close } from "../../src/sys/open.ts";
import { eventfd } from "../../src/sys/poll.ts";
import { SHUT_WR, SOCK_SEQPACKET, SOCK_STREAM, shutdown } from "../../src/sys/socket.ts";
import { decodePlain } from "../../src/wire/plain.ts";
import { StreamKind } from "../../src/wire/streams.ts";
import { type Random, random, seedFor } from "../support/random.ts";
import { ok } from "../sys/support.ts";
import { BridgePair, pattern, sockets } from "./pair.ts";
import { getMessage, openDescriptors, putMessage } from "./programs.ts";

const SEED = seedFor("bridge soak");
const CONNECTIONS = 30;

/** One direction of a connection: what is sent, and how far it has come. */
class Flow {
  readonly data: Buffer;
  sent = 0;
  got = 0;
  sentFds = 0;
  gotFds = 0;
  ended = false;

  constructor(
    readonly from: number,
    readonly to: number,
    readonly rng: Random,
    salt: number,
  ) {
    this.data = pattern(rng.below(rng.chance(0.3) ? 900_000 : 50_000), salt);
  }

  get isDone(): boolean {
    return this.ended && this.got === this.data.length;
  }

  /** Sends some, or receives some; whether anything moved. */
  step(): boolean {
    return this.rng.chance(0.5) ? this.#send() : this.#receive();
  }

  #send(): boolean {
    if (this.sent === this.data.length) return false;
    const size = 1 + this.rng.below(this.rng.chance(0.2) ? 60_000 : 500);
    const part = this.data.subarray(this.sent, this.sent + size);
    const fds = this.rng.chance(0.02) ? [ok(eventfd()), ok(eventfd())] : [];
    const took = putMessage(this.from, part, { fds });
    for (const fd of fds) close(fd);
    if (took <= 0) return false;
    this.sent += took;
    this.sentFds += fds.length;
    if (this.sent === this.data.length) shutdown(this.from, SHUT_WR);
    return true;
  }

  #receive(): boolean {
    if (this.ended) return false;
    const { n, text, fds } = getMessage(this.to, 60_000);
    for (const fd of fds) close(fd);
    this.gotFds += fds.length;
    if (n === 0) this.ended = true;
    if (n <= 0) return false;
    expect(Buffer.from(text, "latin1").equals(this.data.subarray(this.got, this.got + n))).toBe(
      true,
    );
    this.got += n;
    return true;
  }
}

test(`everything arrives, whole and in order (${SEED})`, () => {
  const before = openDescriptors();
  const rng = random(SEED);
  const pair = new BridgePair(4096);
  const waiting: (() => void)[] = [];
  pair.loop.beforeSleep(() => {
    for (const fn of waiting.splice(0)) fn();
    return false;
  });
  const rightsOf = (streams: Streams) =>
    new Rights({
      loop: pair.loop,
      share: NO_SHARE,
      log: (text) => {
        throw new Error(text);
      },
      opener: {
        open: (kind, items, handler) => streams.open(kind, encode(items), handler),
        whenRoom: (fn) => waiting.push(fn),
      },
    });
  const [client, server] = [rightsOf(pair.client.streams), rightsOf(pair.server.streams)];
  const pumpOf = (fd: number, type: number, rights: Rights) => {
    const ancillary = rights.carrier("a test");
    return type === SOCK_STREAM
      ? new BytePump({ loop: pair.loop, fd, shape: Shape.SOCKET, ancillary })
      : new MessagePump({ loop: pair.loop, fd, type, ancillary });
  };
  const flows: Flow[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const type = i % 3 === 0 ? SOCK_SEQPACKET : SOCK_STREAM;
    const [a, fdA] = sockets(type);
    const [b, fdB] = sockets(type);
    pair.join(pumpOf(fdA, type, client), pumpOf(fdB, type, server));
    flows.push(new Flow(a, b, rng, 2 * i), new Flow(b, a, rng, 2 * i + 1));
  }
  pair.accept = (stream, kind, description) => {
    if (kind !== StreamKind.DESCRIPTOR) throw new Error("not a descriptor");
    const rights = stream.id % 2 === 1 ? server : client;
    return rights.take(stream, decodePlain(description) as unknown[]);
  };
  pair.until(() => {
    for (let i = 0; i < 50; i++) rng.pick(flows).step();
    if (rng.chance(0.01)) pair.settle();
    return flows.every((flow) => flow.isDone || flow.data.length === 0);
  }, 90_000);
  expect(flows.map((flow) => flow.gotFds)).toEqual(flows.map((flow) => flow.sentFds));
  for (const { from } of flows) close(from);
  pair.settle();
  client.close();
  server.close();
  pair.close();
  expect(openDescriptors()).toBe(before);
});

/**
 * Finding the server again, without ever waiting: connections are begun one after
 * the other, at each of its addresses in turn, and the first that is greeted wins.
 * A new one is begun though others have not got through: what the network lost
 * meanwhile the kernel repeats only after a second (TCP's first retransmission).
 */
import { close } from "../sys/open.ts";
import { POLLIN, POLLOUT, PollSet } from "../sys/poll.ts";
import { connectOutcome } from "../sys/socket.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { beginConnectTo } from "../transport/endpoint.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED } from "../transport/transport.ts";
import { Kind } from "../wire/frame.ts";
import type { Facts, ServerHello } from "../wire/hello.ts";
import {
  expectKind,
  type Root,
  readAttached,
  readHello,
  type SessionName,
  sayAttach,
  sayHello,
  transportOn,
} from "./greeting.ts";

/** Connections that may be on their way at once. */
export const ATTEMPTS_MAX = 16;
/** How long one may take to get through. */
const CONNECT_MS = 3000;
/** How often one is begun: at first, after EAGER_MS, and after PATIENT_MS. */
const INTERVALS_MS = [50, 250, 1000] as const;
const EAGER_MS = 10_000;
const PATIENT_MS = 60_000;
/** How long nothing is begun after a server has refused. */
const REFUSED_MS = 1000;
const NS_PER_MS = 1e6;

export interface DialOptions {
  addresses: readonly Address[];
  /** Path on the HOST, should the session have to begin anew. */
  source: string;
  /** Whether the HOST's mounts are to be trees of their own then. */
  splits: boolean;
  facts: Facts;
  /** The session as it is at the moment. */
  session: () => SessionName;
  /** Number of the session that would begin anew. */
  epoch: () => number;
  /** Told why a server that was reached did not take the session. */
  refused: (reason: string) => void;
}

/** A connection on which the session goes on or, with `root`, a new one has begun. */
export interface Dialed {
  transport: SocketTransport;
  hello: ServerHello;
  root: Root | undefined;
}

interface Attempt {
  readonly address: Address;
  readonly sinceNs: number;
  /** Set once the connection stands. */
  transport: SocketTransport | undefined;
  fd: number;
  /** Set once the server has said HELLO without the session. */
  hello: ServerHello | undefined;
}

export class Dialer {
  readonly #options: DialOptions;
  readonly #polls = new PollSet(1);
  #attempts: Attempt[] = [];
  #turn = 0;
  /** Since when the server is looked for; 0 while it is not. */
  #sinceNs = 0;
  #nextNs = 0;

  constructor(options: DialOptions) {
    this.#options = options;
  }

  get active(): boolean {
    return this.#sinceNs !== 0;
  }

  /** Begins to look for the server, `delayMs` from now. */
  begin(delayMs = 0): void {
    if (this.active) return;
    this.#sinceNs = Bun.nanoseconds();
    this.#nextNs = this.#sinceNs + delayMs * NS_PER_MS;
  }

  /** Gives it up, with every connection that is not used. */
  stop(): void {
    for (const attempt of this.#attempts) drop(attempt);
    this.#attempts = [];
    this.#sinceNs = 0;
  }

  /** Adds what is to be waited for. */
  addTo(polls: PollSet): void {
    for (const { fd, transport } of this.#attempts) {
      polls.add(fd, transport === undefined ? POLLOUT : POLLIN);
    }
  }

  /** How long to wait for anything else, in milliseconds. */
  get waitMs(): number {
    return Math.max(0, Math.ceil((this.#nextNs - Bun.nanoseconds()) / NS_PER_MS));
  }

  /** Does what can be done now: a connection to go on with, if there is one. */
  step(): Dialed | undefined {
    const now = Bun.nanoseconds();
    for (const attempt of [...this.#attempts]) {
      if (!this.#attempts.includes(attempt)) continue;
      const dialed = this.#advance(attempt, now);
      if (dialed === undefined) continue;
      this.#attempts = this.#attempts.filter((other) => other !== attempt);
      this.stop();
      return dialed;
    }
    if (now < this.#nextNs) return undefined;
    this.#nextNs = now + this.#intervalMs(now) * NS_PER_MS;
    // A server that has just been reached is there: nothing is gained by another connection.
    const reached = this.#attempts.some(
      ({ transport, sinceNs }) => transport !== undefined && now - sinceNs < CONNECT_MS * NS_PER_MS,
    );
    if (!reached) this.#connect(now);
    return undefined;
  }

  #intervalMs(now: number): number {
    const [eager, calm, patient] = INTERVALS_MS;
    const lastedMs = (now - this.#sinceNs) / NS_PER_MS;
    return lastedMs < EAGER_MS ? eager : lastedMs < PATIENT_MS ? calm : patient;
  }

  #connect(now: number): void {
    const { addresses } = this.#options;
    const address = addresses[this.#turn++ % addresses.length] as Address;
    const fd = beginConnectTo(address);
    if (fd < 0) return;
    const [oldest] = this.#attempts;
    if (oldest !== undefined && this.#attempts.length === ATTEMPTS_MAX) this.#forget(oldest);
    this.#attempts.push({ address, sinceNs: now, transport: undefined, fd, hello: undefined });
  }

  #advance(attempt: Attempt, now: number): Dialed | undefined {
    try {
      if (attempt.transport !== undefined) return this.#greet(attempt, attempt.transport);
      if (this.#stands(attempt)) {
        attempt.transport = transportOn(attempt.fd, attempt.address);
        sayHello(attempt.transport, this.#options.session(), this.#options.facts);
        this.#forgetSlower();
      } else if (now - attempt.sinceNs > CONNECT_MS * NS_PER_MS) {
        this.#forget(attempt);
      }
    } catch (error) {
      this.#forget(attempt);
      this.#nextNs = now + REFUSED_MS * NS_PER_MS;
      this.#options.refused(`${formatAddress(attempt.address)}: ${(error as Error).message}`);
    }
    return undefined;
  }

  /** Whether the connection has got through; one that failed is forgotten. */
  #stands(attempt: Attempt): boolean {
    this.#polls.clear();
    this.#polls.add(attempt.fd, POLLOUT);
    if (this.#polls.wait(0) <= 0) return false;
    if (connectOutcome(attempt.fd) === 0) return true;
    this.#forget(attempt);
    return false;
  }

  /** Takes what the server has said. */
  #greet(attempt: Attempt, transport: SocketTransport): Dialed | undefined {
    const isClosed = transport.receive() === CLOSED;
    if (!transport.next()) {
      if (transport.failure !== undefined) throw new Error(transport.failure);
      if (isClosed) this.#forget(attempt);
      return undefined;
    }
    if (attempt.hello !== undefined) {
      expectKind(transport, Kind.REPLY);
      const root = readAttached(transport, this.#options.source);
      return { transport, hello: attempt.hello, root };
    }
    expectKind(transport, Kind.HELLO);
    const hello = readHello(transport);
    if (hello.resumed) return { transport, hello, root: undefined };
    attempt.hello = hello;
    sayAttach(transport, this.#options.source, this.#options.epoch(), this.#options.splits);
    return undefined;
  }

  /**
   * Gives up those that have not got through: of two that are greeted at the same time,
   * one could begin a session anew that the other takes for the old one.
   */
  #forgetSlower(): void {
    for (const attempt of this.#attempts) {
      if (attempt.transport === undefined) this.#forget(attempt);
    }
  }

  #forget(attempt: Attempt): void {
    drop(attempt);
    this.#attempts = this.#attempts.filter((other) => other !== attempt);
  }
}

function drop({ transport, fd }: Attempt): void {
  if (transport === undefined) {
    close(fd);
  } else {
    transport.close();
    transport.release();
  }
}

/**
 * Finding the server for streams, in a Loop: connections are begun one after the other, at
 * each of its addresses in turn, until one is answered (as client/dialer.ts does for requests).
 */
import type { Loop, Watched } from "../../bridge/loop.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { connectOutcome } from "../../sys/socket.ts";
import { type Address, formatAddress } from "../../transport/address.ts";
import { beginConnectTo } from "../../transport/endpoint.ts";
import type { SocketTransport } from "../../transport/socket.ts";
import { CLOSED } from "../../transport/transport.ts";
import { Kind } from "../../wire/frame.ts";
import type { Facts, ServerHello } from "../../wire/hello.ts";
import { expectKind, readHello, type SessionName, sayHello, transportOn } from "../greeting.ts";

/** Connections that may be on their way at once. */
const ATTEMPTS_MAX = 8;
/** How long one may take to get through, and to be answered. */
const ATTEMPT_MS = 3000;
/** How often one is begun: at first, and after EAGER_MS. */
const INTERVALS_MS = [50, 500] as const;
const EAGER_MS = 10_000;
/** How long nothing is begun after a server has refused. */
const REFUSED_MS = 1000;

export interface BridgeDialOptions {
  addresses: readonly Address[];
  facts: Facts;
  /** The session as it is at the moment. */
  session: () => SessionName;
  /** A server took the session, or begins a new one (`hello.resumed`); the connection is its owner's. */
  reached: (transport: SocketTransport, hello: ServerHello) => void;
  /** Told why a server that was reached did not take the session. */
  refused: (reason: string) => void;
}

export class BridgeDialer {
  readonly #loop: Loop;
  readonly #options: BridgeDialOptions;
  #attempts: Attempt[] = [];
  #turn = 0;
  #sinceMs = 0;
  #cancelNext: (() => void) | undefined;

  constructor(loop: Loop, options: BridgeDialOptions) {
    this.#loop = loop;
    this.#options = options;
  }

  /** Looks for the server, unless it does already. */
  begin(): void {
    if (this.#cancelNext !== undefined) return;
    this.#sinceMs = this.#loop.nowMs;
    this.#next();
  }

  /** Gives it up, with every connection that is not used. */
  stop(): void {
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    for (const attempt of this.#attempts) attempt.drop();
    this.#attempts = [];
  }

  #next(delayMs?: number): void {
    this.#cancelNext?.();
    if (delayMs === undefined && !this.#attempts.some(({ stands }) => stands)) this.#connect();
    const [eager, calm] = INTERVALS_MS;
    const isEager = this.#loop.nowMs - this.#sinceMs < EAGER_MS;
    this.#cancelNext = this.#loop.after(delayMs ?? (isEager ? eager : calm), () => this.#next());
  }

  #connect(): void {
    const { addresses } = this.#options;
    const address = addresses[this.#turn++ % addresses.length];
    if (address === undefined) return;
    const fd = beginConnectTo(address);
    if (fd < 0) return;
    if (this.#attempts.length === ATTEMPTS_MAX) this.#attempts[0]?.drop();
    const attempt = new Attempt(this.#loop, fd, address, () => this.#advance(attempt));
    this.#attempts.push(attempt);
    this.#forgetEnded();
  }

  #forgetEnded(): void {
    this.#attempts = this.#attempts.filter(({ ended }) => !ended);
  }

  /** Something has come of an attempt. */
  #advance(attempt: Attempt): void {
    try {
      if (attempt.transport === undefined) this.#greet(attempt);
      else this.#hear(attempt, attempt.transport);
    } catch (error) {
      attempt.drop();
      this.#options.refused(`${formatAddress(attempt.address)}: ${(error as Error).message}`);
      if (this.#cancelNext !== undefined) this.#next(REFUSED_MS);
    }
    this.#forgetEnded();
  }

  #greet(attempt: Attempt): void {
    if (connectOutcome(attempt.fd) !== 0) {
      attempt.drop();
      return;
    }
    // Of two that are greeted at once, one could begin a session that the other takes for the old one.
    for (const other of this.#attempts) if (other !== attempt) other.drop();
    sayHello(attempt.stand(), this.#options.session(), this.#options.facts);
  }

  #hear(attempt: Attempt, transport: SocketTransport): void {
    const isClosed = transport.receive() === CLOSED;
    if (!transport.next()) {
      if (transport.failure !== undefined) throw new Error(transport.failure);
      if (isClosed) attempt.drop();
      return;
    }
    expectKind(transport, Kind.HELLO);
    const hello = readHello(transport);
    attempt.leave();
    this.stop();
    this.#options.reached(transport, hello);
  }
}

/** A connection on its way. */
class Attempt implements Watched {
  readonly fd: number;
  readonly address: Address;
  readonly #loop: Loop;
  readonly #happened: () => void;
  readonly #cancel: () => void;
  /** Set once the connection stands. */
  transport: SocketTransport | undefined;
  ended = false;

  constructor(loop: Loop, fd: number, address: Address, happened: () => void) {
    this.#loop = loop;
    this.fd = fd;
    this.address = address;
    this.#happened = happened;
    this.#cancel = loop.after(ATTEMPT_MS, () => this.drop());
    loop.add(fd, EPOLLOUT, this);
  }

  get stands(): boolean {
    return this.transport !== undefined && !this.ended;
  }

  onEvents(): void {
    this.#happened();
  }

  /** The connection has got through: what goes over it from now on. */
  stand(): SocketTransport {
    this.transport = transportOn(this.fd, this.address);
    this.#loop.modify(this.fd, EPOLLIN);
    return this.transport;
  }

  /** It is another's from now on. */
  leave(): void {
    this.ended = true;
    this.#cancel();
    this.#loop.remove(this.fd);
  }

  drop(): void {
    if (this.ended) return;
    this.leave();
    if (this.transport === undefined) {
      close(this.fd);
      return;
    }
    this.transport.close();
    this.transport.release();
  }
}

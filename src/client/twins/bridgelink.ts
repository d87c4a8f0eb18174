/**
 * The client's end of a bridge session: finds the server, resumes within the lease, and
 * begins a new session when the old one is lost: all its streams are reset then, and the
 * keys that were had for it mean nothing where the bridge of the server is another process.
 */
import { BridgeEnd, type BridgeOwner } from "../../bridge/end.ts";
import type { Loop } from "../../bridge/loop.ts";
import { E } from "../../sys/errno.ts";
import type { Address } from "../../transport/address.ts";
import type { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import type { Facts, ServerHello } from "../../wire/hello.ts";
import { LEASE_MS } from "../../wire/limits.ts";
import { sayGoodbye } from "../goodbye.ts";
import type { SessionName } from "../greeting.ts";
import { BridgeDialer } from "./bridgedialer.ts";

const SESSION_BYTES = 16;
/** How long nothing is tried after the server has closed a session for a reason. */
const PAUSE_MS = 1000;

export interface BridgeLinkOptions {
  addresses: readonly Address[];
  /** The mount's session, a secret. */
  parent: string;
  facts: Facts;
  /** Says something to people, seldom. */
  log: (text: string) => void;
}

export class BridgeLink implements BridgeOwner {
  readonly end: BridgeEnd;
  readonly #loop: Loop;
  readonly #options: BridgeLinkOptions;
  readonly #onLost: (() => void)[] = [];
  #onKeys: (life: number) => void = () => {};
  #dialer: BridgeDialer;
  #id = "";
  /** Whether the server has taken the session once. */
  #established = false;
  #leaseMs = LEASE_MS;
  #cancelLease: (() => void) | undefined;
  #cancelPause: (() => void) | undefined;
  #lastRefusal = "";
  #closed = false;
  /** How often a session went on over another connection, and how many were lost. */
  resumes = 0;
  losses = 0;

  /** Looks for the server at once. */
  constructor(loop: Loop, options: BridgeLinkOptions) {
    this.#loop = loop;
    this.#options = { ...options };
    this.end = new BridgeEnd(loop, "client", this);
    this.#dialer = this.#makeDialer();
    this.#dialer.begin();
  }

  /** Calls `fn` whenever a session is lost, after its streams were reset. */
  onLost(fn: () => void): void {
    this.#onLost.push(fn);
  }

  /** Has `fn` called at each connection with the number of the process that has the keys. */
  onKeys(fn: (life: number) => void): void {
    this.#onKeys = fn;
  }

  /** The server is at other places, or the mount has another session: with that, this one is lost. */
  update(addresses: readonly Address[], parent: string): void {
    const { parent: before } = this.#options;
    this.#options.addresses = addresses;
    this.#options.parent = parent;
    const dials = !this.end.connected;
    this.#dialer.stop();
    this.#dialer = this.#makeDialer();
    if (parent !== before) this.#lose();
    else if (dials && this.#cancelPause === undefined) this.#dialer.begin();
  }

  /** Ends it for good: the server hears so at once. */
  close(): void {
    const { connection } = this.end;
    if (connection !== undefined) sayGoodbye(connection);
    this.#closed = true;
    this.#dialer.stop();
    this.#cancelLease?.();
    this.#cancelPause?.();
    this.end.close(E.ECONNRESET);
  }

  disconnected(): void {
    this.#startLease();
    this.#dialer.begin();
  }

  goodbye(code: number, reason: string): void {
    // A server that stops, or is replaced, may go on; any other reason is about the session.
    if (code === Goodbye.SHUTDOWN) {
      this.disconnected();
      return;
    }
    this.#options.log(`The server has closed the connection for streams: ${reason}`);
    this.#lose(PAUSE_MS);
  }

  failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#options.log(`The connection for streams has failed: ${text}`);
    this.#lose(PAUSE_MS);
  }

  #makeDialer(): BridgeDialer {
    return new BridgeDialer(this.#loop, {
      addresses: this.#options.addresses,
      facts: this.#options.facts,
      session: () => this.#name(),
      reached: (transport, hello) => this.#reached(transport, hello),
      refused: (reason) => this.#refused(reason),
    });
  }

  /** The session as a HELLO says it: one that no server has answered for is begun anew. */
  #name(): SessionName {
    if (!this.#established) this.#id = newId();
    const { parent } = this.#options;
    const { taken } = this.end;
    return { id: this.#id, resumes: this.#established, epoch: 0, events: taken, parent };
  }

  #reached(transport: SocketTransport, hello: ServerHello): void {
    this.#cancelLease?.();
    this.#cancelLease = undefined;
    this.#lastRefusal = "";
    this.#leaseMs = hello.leaseMs;
    const isLost = this.#established && !hello.resumed;
    if (this.#established && hello.resumed) this.resumes++;
    if (isLost) this.end.renew(E.ECONNRESET);
    this.#established = true;
    try {
      this.end.connect(transport, hello.oneways);
    } catch (error) {
      transport.close();
      transport.release();
      this.failed(error);
      return;
    }
    if (isLost) this.#tellLost();
    this.#onKeys(hello.lives);
  }

  #refused(reason: string): void {
    if (reason !== this.#lastRefusal) this.#options.log(`No connection for streams: ${reason}`);
    this.#lastRefusal = reason;
    // A server that answers, and does not go on with the session, never will.
    if (this.#established) this.#lose(PAUSE_MS);
  }

  #startLease(): void {
    if (!this.#established || this.#cancelLease !== undefined) return;
    this.#cancelLease = this.#loop.after(this.#leaseMs, () => {
      this.#cancelLease = undefined;
      this.#options.log("The connection for streams was gone for too long: they are reset");
      this.#lose();
    });
  }

  /** The session is no more; another one begins, after `pauseMs`. */
  #lose(pauseMs = 0): void {
    this.#cancelLease?.();
    this.#cancelLease = undefined;
    const was = this.#established;
    this.#established = false;
    this.end.renew(E.ECONNRESET);
    this.#dialer.stop();
    this.#cancelPause?.();
    this.#cancelPause = this.#loop.after(pauseMs, () => {
      this.#cancelPause = undefined;
      this.#dialer.begin();
    });
    if (was) this.#tellLost();
  }

  #tellLost(): void {
    this.losses++;
    for (const fn of this.#onLost) if (!this.#closed) fn();
  }
}

/** A session's id that nobody can guess. */
function newId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(SESSION_BYTES))).toString("hex");
}

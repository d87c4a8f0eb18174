/** A bridge session on the server: one end of streams, for one session of a mount. */
import { BridgeEnd, type BridgeOwner, type Taker } from "../../bridge/end.ts";
import type { Loop } from "../../bridge/loop.ts";
import { Rights } from "../../bridge/rights/rights.ts";
import { E } from "../../sys/errno.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { StreamKind } from "../../wire/streams.ts";
import { type Pump, pumpFor } from "./joining.ts";
import type { Twin } from "./keys.ts";
import { sharedFiles } from "./passing.ts";

/** What a session asks of the bridge that has it. */
export interface SessionHost {
  readonly loop: Loop;
  /** What `key` stands for in sessions of the mount's session `owner`, as `what` (messages.ts). */
  find(owner: string, key: unknown, what: number): Twin | undefined;
  readonly leaseMs: number;
  /** It has ended; no stream of its is left. */
  ended(session: BridgeSession): void;
  /** Its connection is gone, in whatever way. */
  disconnected(session: BridgeSession): void;
  /** Its client says that the mount has ended. */
  left(session: BridgeSession): void;
  /** Says why a session cannot go on. */
  fault(session: BridgeSession, error: unknown): void;
  /** Says what of a session's a program has lost. */
  tell(text: string): void;
}

export class BridgeSession implements BridgeOwner {
  /** By which it is found: user id and session id, a secret. */
  readonly name: string;
  /** Number of the mount's session that it belongs to (registry.ts: ownerOf). */
  readonly owner: string;
  readonly peer: string;
  readonly end: BridgeEnd;
  readonly #host: SessionHost;
  readonly #rights: Rights;
  #cancelLease: (() => void) | undefined;
  isEnded = false;

  constructor(host: SessionHost, name: string, owner: string, peer: string) {
    this.#host = host;
    this.name = name;
    this.owner = owner;
    this.peer = peer;
    this.end = new BridgeEnd(host.loop, "server", this);
    this.#rights = new Rights({
      loop: host.loop,
      opener: this.end,
      share: sharedFiles((key, what) => host.find(owner, key, what)),
      log: (text) => host.tell(text),
    });
    this.handle(StreamKind.DESCRIPTOR, this.#rights.take);
  }

  /** Takes streams of `kind` that the client opens. */
  handle(kind: number, taker: Taker): void {
    this.end.handle(kind, taker);
  }

  /** What the client may use `key` for, as `what` (messages.ts); undefined: it has no such key. */
  find(key: unknown, what: number): Twin | undefined {
    return this.#host.find(this.owner, key, what);
  }

  /** A pump for the socket `fd` of `type` (SOCK_*), which it owns; `peer`: who is at its other end. */
  pumpFor(fd: number, type: number, peer: string): Pump {
    return pumpFor(this.#host.loop, fd, type, this.#rights.carrier(peer));
  }

  /** It has a connection again. */
  continued(): void {
    this.#cancelLease?.();
    this.#cancelLease = undefined;
  }

  /** Ends, and says why if there is a reason to: all its streams are reset. */
  close(code?: number, reason = ""): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.continued();
    const wasConnected = this.end.connected;
    if (code !== undefined) this.end.sayGoodbye(code, reason);
    this.end.close(E.ECONNRESET);
    this.#rights.close();
    if (wasConnected) this.#host.disconnected(this);
    this.#host.ended(this);
  }

  disconnected(): void {
    this.#host.disconnected(this);
    this.#cancelLease ??= this.#host.loop.after(this.#host.leaseMs, () => this.close());
  }

  goodbye(code: number): void {
    this.disconnected();
    if (code !== Goodbye.DONE) return;
    this.close();
    this.#host.left(this);
  }

  failed(error: unknown): void {
    this.#host.fault(this, error);
    const isOfPeer = error instanceof ProtocolError;
    this.close(Goodbye.PROTOCOL, isOfPeer ? error.message : "the server had an internal error");
  }
}

/** Connections whose TLS handshake is under way, in the acceptor's thread. */

import type { Gate } from "../identity/gate.ts";
import { type RefusalKind, refusalFrom } from "../identity/refusals.ts";
import type { Counters } from "../info/counters.ts";
import { E } from "../sys/errno.ts";
import { TlsEnd } from "../sys/openssl/end.ts";
import { POLLIN, type PollSet } from "../sys/poll.ts";
import { peekByte, peerText } from "../sys/socket.ts";
import { PlainChannel } from "../transport/channel.ts";
import { SocketTransport } from "../transport/socket.ts";
import { TlsChannel } from "../transport/tls.ts";
import { Goodbye } from "../wire/constants.ts";
import { GREETERS_MAX, GREETING_TIMEOUT_MS } from "../wire/limits.ts";
import { sayGoodbye } from "./greeting.ts";

const NS_PER_MS = 1e6;
/** First byte of everything that begins TLS: a record of a handshake (RFC 8446, 5.1). */
const HANDSHAKE_RECORD = 0x16;
const PLAINTEXT_ANSWER =
  "this server speaks TLS alone: give the identity that it was enrolled with";

interface Shaking {
  readonly fd: number;
  readonly sinceNs: number;
  channel: TlsChannel | undefined;
}

export interface HandshakeEvents {
  /** A connection whose client may come. */
  admitted(fd: number, tls: number): void;
  /** Its handshake has come to an end, good or bad: it is waited for no more. */
  leaving?(fd: number): void;
  log(text: string): void;
}

export class Handshakes {
  readonly #gate: Gate;
  readonly #counters: Counters;
  readonly #events: HandshakeEvents;
  #shaking: Shaking[] = [];

  constructor(gate: Gate, counters: Counters, events: HandshakeEvents) {
    this.#gate = gate;
    this.#counters = counters;
    this.#events = events;
  }

  /** How long to wait for anything else, in ms; -1: for ever. */
  get waitMs(): number {
    return this.#shaking.length > 0 ? GREETING_TIMEOUT_MS / 10 : -1;
  }

  /** Sees whether the identities have changed. */
  #refresh(): void {
    try {
      this.#gate.refresh();
    } catch (error) {
      this.#events.log(`The identities cannot be read anew: ${(error as Error).message}`);
    }
  }

  /** Begins with a connection, which is owned from now on. */
  begin(fd: number): void {
    // Who says nothing makes room: the oldest goes.
    const [oldest] = this.#shaking;
    if (oldest !== undefined && this.#shaking.length >= GREETERS_MAX) {
      this.#refuse(oldest, "FAILED", "too many clients that say nothing");
    }
    this.#refresh();
    this.#shaking.push({ fd, sinceNs: Bun.nanoseconds(), channel: undefined });
  }

  addTo(polls: PollSet): void {
    for (const { fd } of this.#shaking) polls.add(fd, POLLIN);
  }

  /** Goes on with all of them. */
  step(): void {
    const late = Bun.nanoseconds() - GREETING_TIMEOUT_MS * NS_PER_MS;
    for (const shaking of [...this.#shaking]) {
      this.#advance(shaking);
      if (shaking.sinceNs < late && this.#shaking.includes(shaking)) {
        this.#refuse(shaking, "FAILED", "no handshake in time");
      }
    }
  }

  #advance(shaking: Shaking): void {
    const channel = shaking.channel ?? this.#first(shaking);
    if (channel === undefined) return;
    const result = channel.shake();
    if (result === -E.EAGAIN) return;
    if (result < 0) {
      const { kind, sentence } = refusalFrom(channel.failure ?? "it hung up");
      this.#refuse(shaking, kind, sentence);
      return;
    }
    const verdict = this.#gate.verdict(channel.end);
    if ("refusal" in verdict) {
      this.#refuse(shaking, verdict.kind, verdict.refusal, channel);
      return;
    }
    this.#forget(shaking);
    this.#events.admitted(shaking.fd, channel.end.address);
  }

  /** The end of TLS for one that has said the first byte. */
  #first(shaking: Shaking): TlsChannel | undefined {
    const byte = peekByte(shaking.fd);
    if (byte === -E.EAGAIN) return undefined;
    if (byte !== HANDSHAKE_RECORD) {
      this.#refuse(shaking, byte < 0 ? "FAILED" : "PLAINTEXT", "it does not speak TLS");
      return undefined;
    }
    const end = TlsEnd.begin(this.#gate.context);
    shaking.channel = new TlsChannel(shaking.fd, end, {
      check: () => undefined,
      explain: (reason) => reason,
    });
    return shaking.channel;
  }

  /** `greeted`: who it is may be told why. */
  #refuse(shaking: Shaking, kind: RefusalKind, sentence: string, greeted?: TlsChannel): void {
    this.#forget(shaking);
    this.#counters.count(`TLS_${kind}`);
    const peer = peerText(shaking.fd);
    this.#events.log(`Refused a client at ${peer}: ${sentence}`);
    const channel = greeted ?? shaking.channel ?? new PlainChannel(shaking.fd);
    if (greeted === undefined && kind !== "PLAINTEXT") {
      channel.close();
      return;
    }
    const transport = new SocketTransport(shaking.fd, { description: peer }, channel);
    sayGoodbye(transport, Goodbye.REFUSED, greeted === undefined ? PLAINTEXT_ANSWER : sentence);
    transport.release();
  }

  #forget(shaking: Shaking): void {
    this.#shaking = this.#shaking.filter((other) => other !== shaking);
    this.#events.leaving?.(shaking.fd);
  }
}

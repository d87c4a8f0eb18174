/**
 * Connections whose client has not said HELLO yet. Once one has, it goes to its
 * session, which may be another reactor's: then the connection goes there, with
 * the HELLO, of which alone anything was read.
 */

import { channelOf, identify } from "../identity/peer.ts";
import { POLLIN, type PollSet } from "../sys/poll.ts";
import type { Channel } from "../transport/channel.ts";
import { LaneChannel } from "../transport/pcie.ts";
import { SocketTransport } from "../transport/socket.ts";
import { TlsChannel } from "../transport/tls.ts";
import type { PeerIdentity } from "../transport/transport.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { type ClientHello, decodeClientHello } from "../wire/hello.ts";
import { GREETERS_MAX, GREETING_TIMEOUT_MS } from "../wire/limits.ts";
import type { BridgeDoor } from "./bridge/door.ts";
import { checkVersion, Greeter, Refusal, sayGoodbye } from "./greeting.ts";
import type { Mailbox } from "./mailbox.ts";
import { ownedBy } from "./owned.ts";
import { NO_UID } from "./session.ts";
import type { Here, Sessions } from "./sessions.ts";

const NS_PER_MS = 1e6;

export class Strangers {
  readonly #mailboxes: readonly Mailbox[];
  readonly #mailbox: Mailbox;
  readonly #sessions: Sessions;
  readonly #bridge: BridgeDoor;
  readonly #report: (peer: string, error: unknown) => void;
  #greeters: Greeter[] = [];

  /** `report` is told why a connection is being closed. */
  constructor(
    self: number,
    mailboxes: readonly Mailbox[],
    sessions: Sessions,
    bridge: BridgeDoor,
    report: (peer: string, error: unknown) => void,
  ) {
    this.#mailboxes = mailboxes;
    this.#mailbox = mailboxes[self] as Mailbox;
    this.#sessions = sessions;
    this.#bridge = bridge;
    this.#report = report;
  }

  get any(): boolean {
    return this.#greeters.length > 0;
  }

  /** Takes in new connections and what the known ones have said; true if there was anything. */
  take(): boolean {
    let any = false;
    for (let next = this.#mailbox.take(); next !== undefined; next = this.#mailbox.take()) {
      any = true;
      const channel = channelOf(next.fd, next.tls);
      const peer = identify(channel);
      if (next.hello !== undefined) this.#greeted(channel, peer, next.hello, true);
      else if (this.#greeters.length < GREETERS_MAX)
        this.#greeters.push(new Greeter(channel, peer));
      else
        this.#refuse(channel, peer, new Refusal(Goodbye.BUSY, "too many clients that say nothing"));
    }
    if (this.#greeters.length > 0 && this.#listen()) any = true;
    return any;
  }

  addTo(polls: PollSet): void {
    for (const greeter of this.#greeters) polls.add(greeter.channel.fd, POLLIN);
  }

  /** Ends those that have had long enough. */
  tidy(nowNs: number): void {
    const late = this.#greeters.filter((g) => nowNs - g.sinceNs > GREETING_TIMEOUT_MS * NS_PER_MS);
    if (late.length === 0) return;
    this.#greeters = this.#greeters.filter((greeter) => !late.includes(greeter));
    for (const { channel, peer } of late)
      this.#refuse(channel, peer, new ProtocolError("no HELLO in time"));
  }

  /** Hears what has been said; whether anybody has finished. */
  #listen(): boolean {
    const before = this.#greeters.length;
    this.#greeters = this.#greeters.filter((greeter) => !this.#finished(greeter));
    return this.#greeters.length < before;
  }

  #finished(greeter: Greeter): boolean {
    const { channel, peer } = greeter;
    try {
      const hello = greeter.receive();
      if (hello !== undefined) this.#greeted(channel, peer, hello, false);
      else if (greeter.gone) this.#drop(channel);
      return hello !== undefined || greeter.gone;
    } catch (error) {
      this.#refuse(channel, peer, error);
      return true;
    }
  }

  /** Gives a connection to the session that its HELLO asks for. */
  #greeted(channel: Channel, peer: PeerIdentity, bytes: Uint8Array, forwarded: boolean): void {
    try {
      const hello = ownedBy(peer.name, decodeClientHello(bytes));
      checkVersion(hello);
      if (hello.role === "streams") {
        if (!this.#bridge.connection(told(channel), bytes)) channel.close();
        this.#mailbox.ended();
        return;
      }
      const found = this.#sessions.find(hello, peer.uid ?? NO_UID, forwarded);
      if (found.kind === "elsewhere") {
        if (!this.#mailboxes[found.reactor]?.put(told(channel), bytes)) channel.close();
        this.#mailbox.ended();
        return;
      }
      this.#connect(found, new SocketTransport(channel.fd, peer, channel), hello);
    } catch (error) {
      this.#refuse(channel, peer, error);
    }
  }

  #connect(found: Here, connection: SocketTransport, hello: ClientHello): void {
    const replaces = found.kind === "here" && found.lease.connection !== undefined;
    try {
      this.#sessions.connect(found, connection, hello);
    } catch (error) {
      this.#sayWhy(connection, error);
      // With a session it is cleared away as every connection that has ended.
      if (!this.#sessions.connected.some((lease) => lease.connection === connection)) {
        connection.release();
        this.#mailbox.ended();
      }
    }
    if (replaces) this.#mailbox.ended();
  }

  /** Closes a connection that has no session. */
  #refuse(channel: Channel, peer: PeerIdentity, error: unknown): void {
    const transport = new SocketTransport(channel.fd, peer, channel);
    this.#sayWhy(transport, error);
    transport.release();
    this.#mailbox.ended();
  }

  /** Says why a connection cannot be served, and closes it. */
  #sayWhy(transport: SocketTransport, error: unknown): void {
    const known = error instanceof ProtocolError || error instanceof Refusal;
    const reason = known ? error.message : "the server had an internal error: see its log";
    const code = error instanceof Refusal ? error.code : Goodbye.PROTOCOL;
    this.#report(transport.peer.description, error);
    sayGoodbye(transport, code, reason);
  }

  #drop(channel: Channel): void {
    channel.close();
    this.#mailbox.ended();
  }
}

/** A channel as another thread is told of it, which has it from then on. */
function told(channel: Channel): { fd: number; tls: number } {
  if (channel instanceof LaneChannel) channel.leave();
  return { fd: channel.fd, tls: channel instanceof TlsChannel ? channel.end.address : 0 };
}

/**
 * The bridge: all sessions for streams, and what they may be joined to. Connections come
 * from the reactors with their HELLO, keys by the box; all else is served in one Loop.
 */

import type { Loop, Watched } from "../../bridge/loop.ts";
import { DatagramPlaces } from "../../bridge/names.ts";
import { channelOf, identify } from "../../identity/peer.ts";
import type { Counters } from "../../info/counters.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { drainEventfd } from "../../sys/poll.ts";
import type { Channel } from "../../transport/channel.ts";
import { SocketTransport } from "../../transport/socket.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello, type Facts } from "../../wire/hello.ts";
import { StreamKind } from "../../wire/streams.ts";
import { answerHello, checkVersion, Refusal, sayGoodbye } from "../greeting.ts";
import { LogBudget } from "../logbudget.ts";
import type { Mailbox } from "../mailbox.ts";
import { ownedBy } from "../owned.ts";
import { ownerOf, type Registry } from "../registry.ts";
import { NO_UID } from "../session.ts";
import { type BridgeBox, What } from "./box.ts";
import { Connects } from "./connects.ts";
import { HostFifos } from "./fifo/fifos.ts";
import { BridgeGauges } from "./gauges.ts";
import { Holdings } from "./holdings.ts";
import type { Twin } from "./keys.ts";
import { BridgeSession, type SessionHost } from "./session.ts";

export interface BridgeOptions {
  loop: Loop;
  mailbox: Mailbox;
  box: BridgeBox;
  registry: Registry;
  counters: Counters;
  facts: Facts;
  leaseMs: number;
  log: (level: "info" | "warn", text: string) => void;
}

export class Bridge implements SessionHost, Watched {
  readonly loop: Loop;
  readonly leaseMs: number;
  readonly #options: BridgeOptions;
  readonly #connects: Connects;
  readonly #fifos: HostFifos;
  readonly #sessions = new Map<string, BridgeSession>();
  readonly #holdings: Holdings;
  readonly #gauges: BridgeGauges;
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();

  constructor(options: BridgeOptions) {
    this.loop = options.loop;
    this.leaseMs = options.leaseMs;
    this.#options = options;
    const places = new DatagramPlaces();
    this.#connects = new Connects(this.loop, places);
    this.#fifos = new HostFifos(this.loop, (text) => this.#tell(this.#ofFaults, text));
    this.#holdings = new Holdings({
      loop: this.loop,
      box: options.box,
      places,
      sessionOf: (owner) => this.#sessionOf(owner),
      ended: (owner) => {
        this.#sessionOf(owner)?.close(Goodbye.REFUSED, "who had the streams has ended");
      },
      tell: (text) => this.tell(text),
    });
    this.#gauges = new BridgeGauges(this.loop, options.counters, {
      sessions: () => this.#sessions.values(),
      keys: () => this.#holdings.size,
      waiting: () => this.#connects.waiting,
    });
    this.loop.add(options.mailbox.wakeFd, EPOLLIN, this);
  }

  /** Reactors have sent something, or the thread is to end. */
  onEvents(): void {
    const { mailbox } = this.#options;
    drainEventfd(mailbox.wakeFd);
    this.#holdings.take();
    for (let next = mailbox.take(); next !== undefined; next = mailbox.take()) {
      if (next.hello !== undefined) this.#greeted(channelOf(next.fd, next.tls), next.hello);
    }
    if (mailbox.stopping) this.loop.stop();
  }

  /** Ends all sessions. */
  close(): void {
    for (const session of [...this.#sessions.values()]) {
      session.close(Goodbye.SHUTDOWN, "server is stopping");
    }
    this.#fifos.close();
  }

  ended(session: BridgeSession): void {
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name);
    this.#gauges.ended(session);
    this.#holdings.serveListeners(session.owner);
  }

  disconnected(session: BridgeSession): void {
    this.#options.mailbox.ended();
    this.#holdings.serveListeners(session.owner);
  }

  fault(session: BridgeSession, error: unknown): void {
    this.#report(session.peer, error);
  }

  find(owner: number, key: unknown, what: number): Twin | undefined {
    return this.#holdings.find(owner, key, what);
  }

  tell(text: string): void {
    this.#tell(this.#ofPeers, text);
  }

  #sessionOf(owner: number): BridgeSession | undefined {
    for (const session of this.#sessions.values()) if (session.owner === owner) return session;
    return undefined;
  }

  /** A client has said HELLO. */
  #greeted(channel: Channel, bytes: Uint8Array): void {
    const transport = new SocketTransport(channel.fd, identify(channel), channel);
    try {
      const hello = ownedBy(transport.peer.name, decodeClientHello(bytes));
      checkVersion(hello);
      this.#connect(transport, hello);
    } catch (error) {
      this.#refuse(transport, error);
    }
  }

  #connect(transport: SocketTransport, hello: ClientHello): void {
    const { peer } = transport;
    const uid = peer.uid ?? NO_UID;
    const parent = this.#options.registry.find(hello.parent ?? "", uid);
    if (parent === undefined)
      throw new Refusal(Goodbye.REFUSED, "the mount's session is not known");
    const owner = ownerOf(parent);
    const name = `${uid}:${hello.session}`;
    const known = this.#sessions.get(name);
    const isSame = known?.owner === owner;
    if (isSame && !hello.resumes) throw new ProtocolError("session exists already");
    if (known !== undefined && isSame) {
      this.#resume(known, transport, hello);
      return;
    }
    // A mount has one at a time: its client knows nothing of any other any more.
    known?.close();
    this.#sessionOf(owner)?.close();
    const session = this.#begin(name, owner, peer);
    answerHello(transport, this.#options, hello, { resumed: false, oneways: 0, lives: 1 });
    session.end.connect(transport, 0);
    this.#holdings.serveListeners(owner);
  }

  #begin(name: string, owner: number, { description }: PeerIdentity): BridgeSession {
    const session = new BridgeSession(this, name, owner, description);
    session.handle(StreamKind.CONNECT, (stream, items) => {
      return this.#connects.take(session, stream, items);
    });
    session.handle(StreamKind.DATAGRAMS, (stream, items) => {
      return this.#connects.takeDatagrams(session, stream, items);
    });
    session.handle(
      StreamKind.FIFO,
      this.#fifos.taker((key) => session.find(key, What.NODE)?.fd),
    );
    this.#sessions.set(name, session);
    return session;
  }

  #resume(session: BridgeSession, transport: SocketTransport, hello: ClientHello): void {
    // The client knows better than we do that its old connection is dead.
    if (session.end.connected) {
      session.end.disconnect();
      this.#options.mailbox.ended();
    }
    session.continued();
    const { taken } = session.end;
    try {
      session.end.connect(transport, hello.events);
    } catch (error) {
      session.close();
      throw error;
    }
    this.#options.counters.count("STREAM_RESUMES");
    this.#holdings.serveListeners(session.owner);
    answerHello(transport, this.#options, hello, { resumed: true, oneways: taken, lives: 1 });
  }

  #refuse(transport: SocketTransport, error: unknown): void {
    const known = error instanceof ProtocolError || error instanceof Refusal;
    const reason = known ? error.message : "the server had an internal error: see its log";
    this.#report(transport.peer.description, error);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, reason);
    transport.release();
    this.#options.mailbox.ended();
  }

  #report(peer: string, error: unknown): void {
    const { counters } = this.#options;
    const isOfPeer = error instanceof ProtocolError || error instanceof Refusal;
    if (error instanceof ProtocolError) counters.protocolErrors++;
    const text = error instanceof Error ? (isOfPeer ? error.message : error.stack) : String(error);
    const budget = isOfPeer ? this.#ofPeers : this.#ofFaults;
    this.#tell(budget, `Closed the connection for streams of ${peer}: ${text}`);
  }

  #tell(budget: LogBudget, text: string): void {
    const line = budget.admit(text);
    if (line !== undefined) this.#options.log("warn", line);
  }
}

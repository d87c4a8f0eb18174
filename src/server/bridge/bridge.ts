/**
 * The bridge: all sessions for streams, and what they may be joined to. Connections come
 * from the reactors with their HELLO, keys by the box; all else is served in one Loop.
 */
import type { Loop, Watched } from "../../bridge/loop.ts";
import type { Counters } from "../../info/counters.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { drainEventfd } from "../../sys/poll.ts";
import { SocketTransport } from "../../transport/socket.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello, type Facts } from "../../wire/hello.ts";
import { StreamKind } from "../../wire/streams.ts";
import { answerHello, checkVersion, Refusal, sayGoodbye } from "../greeting.ts";
import { LogBudget } from "../logbudget.ts";
import type { Mailbox } from "../mailbox.ts";
import { ownerOf, type Registry } from "../registry.ts";
import { NO_UID } from "../session.ts";
import { identify } from "../strangers.ts";
import { BoxKind, type BoxMessage, type BridgeBox, What } from "./box.ts";
import { Connects } from "./connects.ts";
import { HostFifos } from "./fifos.ts";
import { Keys, type Twin } from "./keys.ts";
import { type ListenerTwin, listenerFor } from "./listeners.ts";
import { BridgeSession, type SessionHost } from "./session.ts";

/** How long after anything has happened gauges are refreshed. */
const GAUGES_MS = 500;

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
  readonly keys = new Keys();
  readonly leaseMs: number;
  readonly #options: BridgeOptions;
  readonly #connects: Connects;
  readonly #fifos: HostFifos;
  readonly #sessions = new Map<string, BridgeSession>();
  readonly #listeners = new Map<number, ListenerTwin>();
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();
  #endedIn = 0;
  #endedOut = 0;
  /** What has moved when the gauges were refreshed; and that they are to be. */
  #gauged = -1;
  #refreshes = false;

  constructor(options: BridgeOptions) {
    this.loop = options.loop;
    this.leaseMs = options.leaseMs;
    this.#options = options;
    this.#connects = new Connects(this.loop, this.keys);
    this.#fifos = new HostFifos(this.loop, (text) => {
      const line = this.#ofFaults.admit(text);
      if (line !== undefined) options.log("warn", line);
    });
    this.loop.add(options.mailbox.wakeFd, EPOLLIN, this);
    this.loop.beforeSleep(() => this.#lookAtGauges());
  }

  /** Reactors have sent something, or the thread is to end. */
  onEvents(): void {
    const { mailbox } = this.#options;
    drainEventfd(mailbox.wakeFd);
    this.#takeKeys();
    for (let next = mailbox.take(); next !== undefined; next = mailbox.take()) {
      if (next.hello !== undefined) this.#greeted(next.fd, next.hello);
    }
    if (mailbox.stopping) this.loop.stop();
  }

  /** Ends all sessions. */
  close(): void {
    for (const session of [...this.#sessions.values()]) {
      session.close(Goodbye.SHUTDOWN, "server is stopping");
    }
  }

  ended(session: BridgeSession): void {
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name);
    this.#endedIn += session.end.bytesReceived;
    this.#endedOut += session.end.bytesSent;
    this.#serveListeners(session.owner);
  }

  disconnected(session: BridgeSession): void {
    this.#options.mailbox.ended();
    this.#serveListeners(session.owner);
  }

  fault(session: BridgeSession, error: unknown): void {
    this.#report(session.peer, error);
  }

  find(owner: number, key: unknown, what: number): Twin | undefined {
    this.#takeKeys();
    return this.keys.find(owner, key, what);
  }

  tell(text: string): void {
    this.#tell(this.#ofPeers, text);
  }

  /** Takes in what reactors have said of keys: before a key is looked for in vain. */
  #takeKeys(): void {
    const { box } = this.#options;
    for (let next = box.take(); next !== undefined; next = box.take()) this.#told(next);
  }

  #told(message: BoxMessage): void {
    const { kind, key, owner } = message;
    if (kind === BoxKind.ADD) this.#add(message);
    else if (kind === BoxKind.REMOVE) this.#remove(owner, key);
    else this.#ended(owner);
  }

  #add({ key, fd, what, type, owner }: BoxMessage): void {
    const twin = { key, fd, what, type, owner };
    this.keys.add(twin);
    if (what !== What.LISTENER) return;
    const listener = listenerFor(this.loop, twin, (text) => this.#tell(this.#ofPeers, text));
    this.#listeners.set(key, listener);
    listener.serve(this.#sessionOf(owner));
  }

  #remove(owner: number, key: number): void {
    this.#listeners.get(key)?.close();
    this.#listeners.delete(key);
    this.keys.remove(owner, key);
  }

  /** The mount's session `owner` is no more. */
  #ended(owner: number): void {
    this.#sessionOf(owner)?.close(Goodbye.REFUSED, "the mount's session has ended");
    for (const { key } of this.keys.of(owner)) this.#remove(owner, key);
    this.keys.removeAll(owner);
  }

  #sessionOf(owner: number): BridgeSession | undefined {
    for (const session of this.#sessions.values()) if (session.owner === owner) return session;
    return undefined;
  }

  #serveListeners(owner: number): void {
    const session = this.#sessionOf(owner);
    for (const { key, what } of this.keys.of(owner)) {
      if (what === What.LISTENER) this.#listeners.get(key)?.serve(session);
    }
  }

  /** A client has said HELLO. */
  #greeted(fd: number, bytes: Uint8Array): void {
    const transport = new SocketTransport(fd, identify(fd));
    try {
      const hello = decodeClientHello(bytes);
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
    this.#serveListeners(owner);
  }

  #begin(name: string, owner: number, { description }: PeerIdentity): BridgeSession {
    const session = new BridgeSession(this, name, owner, description);
    session.handle(StreamKind.CONNECT, (stream, items) => {
      this.#takeKeys();
      return this.#connects.take(session, stream, items);
    });
    session.handle(StreamKind.DATAGRAMS, (stream, items) => {
      this.#takeKeys();
      return this.#connects.takeDatagrams(session, stream, items);
    });
    const take = this.#fifos.taker((key) => session.find(key, What.NODE)?.fd);
    session.handle(StreamKind.FIFO, (stream, items) => {
      this.#takeKeys();
      return take(stream, items);
    });
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
    this.#serveListeners(session.owner);
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

  /** Has the gauges refreshed soon if anything has happened. */
  #lookAtGauges(): boolean {
    if (!this.#refreshes && this.#moved() !== this.#gauged) {
      this.#refreshes = true;
      this.loop.after(GAUGES_MS, () => this.#refreshGauges());
    }
    return false;
  }

  /** A number that changes with everything that the gauges tell. */
  #moved(): number {
    let moved = this.keys.size + this.#sessions.size + this.#endedIn;
    for (const { end } of this.#sessions.values()) moved += end.bytesReceived + end.bytesSent;
    return moved;
  }

  #refreshGauges(): void {
    this.#refreshes = false;
    this.#gauged = this.#moved();
    const { counters } = this.#options;
    const ends = [...this.#sessions.values()].map(({ end }) => end);
    const sum = (of: "streams" | "bytesReceived" | "bytesSent") =>
      ends.reduce((total, end) => total + end[of], 0);
    counters.gauge("BRIDGES", ends.length);
    counters.gauge("STREAMS", sum("streams"));
    counters.gauge("STREAMS_WAITING", this.#connects.waiting);
    counters.gauge("TWINS", this.keys.size);
    counters.gauge("STREAM_BYTES_IN", this.#endedIn + sum("bytesReceived"));
    counters.gauge("STREAM_BYTES_OUT", this.#endedOut + sum("bytesSent"));
  }
}

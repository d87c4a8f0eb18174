/**
 * The bridge: all sessions for streams, and what they may be joined to. Connections come
 * from the server with their HELLO, and so do keys; all else is served in one Loop.
 */
import type { Loop } from "../../bridge/loop.ts";
import { DatagramPlaces } from "../../bridge/names.ts";
import { BUILD } from "../../info/facts.ts";
import type { Keeper, Keeping, ServerChannel } from "../../keeper/kept.ts";
import { close } from "../../sys/open.ts";
import { SocketTransport } from "../../transport/socket.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import type { ClientHello, Facts } from "../../wire/hello.ts";
import { LEASE_MS, SESSIONS_MAX } from "../../wire/limits.ts";
import { StreamKind } from "../../wire/streams.ts";
import { answerHello, Refusal, sayGoodbye } from "../greeting.ts";
import { LogBudget } from "../logbudget.ts";
import { NO_UID } from "../session.ts";
import { Connects } from "./connects.ts";
import { BridgeControl } from "./control.ts";
import { HostFifos } from "./fifo/fifos.ts";
import { BridgeGauges } from "./gauges.ts";
import { Holdings } from "./holdings.ts";
import type { Twin } from "./keys.ts";
import { type Tells, type Told, What } from "./messages.ts";
import { BridgeSession, type SessionHost } from "./session.ts";

export interface BridgeOptions {
  loop: Loop;
  facts: Facts;
  /** Whose it is: it hears servers, and takes lines for their logs. */
  keeper: Pick<Keeper<Told, Tells>, "hear" | "isServed" | "log" | "tell">;
}

type Client = Extract<Told, { kind: "client" }>;

/** A number by which clients know that keys are of this process. */
function newLife(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) >>> 1 || 1;
}

export class Bridge implements SessionHost, Keeping<Told, Tells> {
  readonly loop: Loop;
  leaseMs = LEASE_MS;
  readonly #options: BridgeOptions;
  readonly #connects: Connects;
  readonly #fifos: HostFifos;
  readonly #life = newLife();
  readonly #sessions = new Map<string, BridgeSession>();
  /**
   * Owners whose client has said that the mount has ended. Their keys wait for the server to say so, too,
   * but not for one that has ended before it could.
   */
  readonly #left = new Set<string>();
  readonly #holdings: Holdings;
  readonly #gauges: BridgeGauges;
  readonly #control: BridgeControl;
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();
  /** Clients that have come, and their connections: what hears of them may be serving another. */
  #arrivals: { client: Client; fd: number }[] = [];
  #resumes = 0;
  #protocolErrors = 0;

  constructor(options: BridgeOptions) {
    this.loop = options.loop;
    this.#options = options;
    const { keeper } = options;
    const places = new DatagramPlaces();
    this.#connects = new Connects(this.loop, places);
    this.#fifos = new HostFifos(this.loop, (text) => this.#tell(this.#ofFaults, text));
    this.#holdings = new Holdings({
      loop: this.loop,
      places,
      sessionOf: (owner) => this.#sessionOf(owner),
      hear: () => keeper.hear(),
      tell: (text) => this.tell(text),
    });
    const counted = {
      sessions: () => this.#sessions.values(),
      keys: () => this.#holdings.size,
      waiting: () => this.#connects.waiting,
      resumes: () => this.#resumes,
      protocolErrors: () => this.#protocolErrors,
    };
    this.#gauges = new BridgeGauges(this.loop, counted, (figures) => {
      keeper.tell({ kind: "figures", figures });
    });
    this.loop.beforeSleep(() => this.#welcome());
    this.#control = new BridgeControl(this.loop, () => {
      return { served: keeper.isServed, figures: this.#gauges.figures };
    });
  }

  get isIdle(): boolean {
    if (this.#sessions.size > 0 || this.#arrivals.length > 0) return false;
    return this.#holdings.owners().every((owner) => this.#left.has(owner));
  }

  came(server: ServerChannel<Told, Tells>): void {
    const mine = [...this.#sessions.values()].map(({ owner }) => owner);
    const owners = [...new Set([...mine, ...this.#holdings.owners()])].slice(0, 2 * SESSIONS_MAX);
    server.send({ kind: "hello", pid: process.pid, build: BUILD, isIdle: this.isIdle, owners });
    server.send({ kind: "figures", figures: this.#gauges.figures });
  }

  heard(message: Told, fd: number): void {
    switch (message.kind) {
      case "serve":
        this.leaseMs = message.leaseMs;
        break;
      case "client":
        if (fd >= 0) this.#arrivals.push({ client: message, fd });
        else this.tell("A connection was lost: too many descriptors are open");
        break;
      case "key":
        if (fd >= 0) this.#holdings.add(message, fd);
        else this.tell("A socket or FIFO was lost: too many descriptors are open");
        break;
      case "remove":
        this.#holdings.remove(message.owner, message.key);
        break;
      case "ended":
        this.#over(message.owner);
        this.#holdings.removeAll(message.owner);
        this.#left.delete(message.owner);
        break;
      case "cut":
        this.#over(message.owner);
    }
  }

  /** Without a server for the lease the mounts' sessions have ended, too. */
  end(which: "all" | "unkept"): void {
    const reason = which === "all" ? "server is stopping" : "the server is gone";
    for (const session of [...this.#sessions.values()]) session.close(Goodbye.SHUTDOWN, reason);
    for (const owner of this.#holdings.owners()) this.#holdings.removeAll(owner);
  }

  close(): void {
    this.#fifos.close();
    this.#control.close();
  }

  ended(session: BridgeSession): void {
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name);
    this.#gauges.ended(session);
    this.#holdings.serveListeners(session.owner);
  }

  disconnected(session: BridgeSession): void {
    this.#holdings.serveListeners(session.owner);
  }

  left({ owner }: BridgeSession): void {
    this.#left.add(owner);
  }

  fault(session: BridgeSession, error: unknown): void {
    this.#report(session.peer, error);
  }

  find(owner: string, key: unknown, what: number): Twin | undefined {
    return this.#holdings.find(owner, key, what);
  }

  tell(text: string): void {
    this.#tell(this.#ofPeers, text);
  }

  #sessionOf(owner: string): BridgeSession | undefined {
    for (const session of this.#sessions.values()) if (session.owner === owner) return session;
    return undefined;
  }

  /** The mount's session `owner`, or who had its streams, is no more. */
  #over(owner: string): void {
    for (const { client, fd } of this.#arrivals) if (client.owner === owner) close(fd);
    this.#arrivals = this.#arrivals.filter(({ client }) => client.owner !== owner);
    this.#sessionOf(owner)?.close(Goodbye.REFUSED, "who had the streams has ended");
  }

  /** Goes on with those who have come; whether there were any. */
  #welcome(): boolean {
    const arrivals = this.#arrivals;
    if (arrivals.length === 0) return false;
    this.#arrivals = [];
    for (const { client, fd } of arrivals) {
      const transport = new SocketTransport(fd, client.peer);
      try {
        this.#connect(transport, client.owner, client.hello);
      } catch (error) {
        this.#refuse(transport, error);
      }
    }
    return true;
  }

  #connect(transport: SocketTransport, owner: string, hello: ClientHello): void {
    const { peer } = transport;
    const name = `${peer.uid ?? NO_UID}:${hello.session}`;
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
    this.#answer(transport, hello, { resumed: false, oneways: 0 });
    session.end.connect(transport, 0);
    this.#holdings.serveListeners(owner);
  }

  #answer(
    transport: SocketTransport,
    hello: ClientHello,
    standing: { resumed: boolean; oneways: number },
  ): void {
    const services = { leaseMs: this.leaseMs, facts: this.#options.facts };
    answerHello(transport, services, hello, { ...standing, lives: this.#life });
  }

  #begin(name: string, owner: string, { description }: PeerIdentity): BridgeSession {
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
    this.#left.delete(owner);
    return session;
  }

  #resume(session: BridgeSession, transport: SocketTransport, hello: ClientHello): void {
    // The client knows better than we do that its old connection is dead.
    if (session.end.connected) session.end.disconnect();
    session.continued();
    const { taken } = session.end;
    try {
      session.end.connect(transport, hello.events);
    } catch (error) {
      session.close();
      throw error;
    }
    this.#resumes++;
    this.#holdings.serveListeners(session.owner);
    this.#answer(transport, hello, { resumed: true, oneways: taken });
  }

  #refuse(transport: SocketTransport, error: unknown): void {
    const known = error instanceof ProtocolError || error instanceof Refusal;
    const reason = known ? error.message : "the server had an internal error: see its log";
    this.#report(transport.peer.description, error);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, reason);
    transport.release();
  }

  #report(peer: string, error: unknown): void {
    const isOfPeer = error instanceof ProtocolError || error instanceof Refusal;
    if (error instanceof ProtocolError) this.#protocolErrors++;
    const text = error instanceof Error ? (isOfPeer ? error.message : error.stack) : String(error);
    const budget = isOfPeer ? this.#ofPeers : this.#ofFaults;
    this.#tell(budget, `Closed the connection for streams of ${peer}: ${text}`);
  }

  #tell(budget: LogBudget, text: string): void {
    const line = budget.admit(text);
    if (line !== undefined) this.#options.keeper.log("warn", line);
  }
}

/**
 * The sessions of one reactor, with and without a connection. A session whose
 * connection ends is kept for the lease; the client that comes back within it, to
 * whichever reactor, goes on where it was.
 */
import type { Gate } from "../identity/gate.ts";
import { SocketTransport } from "../transport/socket.ts";
import { TlsChannel } from "../transport/tls.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import type { ClientHello } from "../wire/hello.ts";
import { answerHello, Refusal, sayGoodbye } from "./greeting.ts";
import type { SessionRecord } from "./record/record.ts";
import { countRecovered, describe, recover } from "./recovery.ts";
import type { Place, Registry } from "./registry.ts";
import type { ReactorServices } from "./services.ts";
import { Session } from "./session.ts";

/** Sessions that end before their memory is collected: the thread is never idle in JavaScript. */
const COLLECT_AFTER = 64;
const NS_PER_MS = 1e6;
const NEVER = Number.POSITIVE_INFINITY;

/** A session and the connection it has at the moment. */
export interface Lease {
  readonly session: Session;
  readonly key: string;
  readonly place: Place;
  connection: SocketTransport | undefined;
  /** When the session ends unless its client comes back; NEVER while it is connected. */
  untilNs: number;
}

/** A lease with a connection. */
export interface Connected extends Lease {
  connection: SocketTransport;
}

/** What a HELLO asks for: a session that is here, one at another reactor, or a new one. */
export type Found =
  | { kind: "here"; lease: Lease }
  | { kind: "elsewhere"; reactor: number }
  | { kind: "new"; key: string; place: Place; uid: number };

/** Those that a connection can be given to here. */
export type Here = Exclude<Found, { kind: "elsewhere" }>;

export class Sessions {
  /** Those with a connection. */
  connected: Connected[] = [];
  readonly #leases = new Map<string, Lease>();
  readonly #registry: Registry;
  readonly #services: ReactorServices;
  readonly #self: number;
  readonly #wake: (reactor: number) => void;
  readonly #log: (text: string) => void;
  /** Stands for the connection of those that have none. */
  readonly #nowhere = new SocketTransport(-1, { description: "nobody" });
  /** Sessions that have ended before their calls. */
  #leaving: Session[] = [];
  #disposed = 0;
  /** When the next lease ends. */
  dueNs = NEVER;
  /** Bytes of connections that have ended. */
  endedIn = 0;
  endedOut = 0;

  /** `self`: the reactor's number; `wake` has another reactor look after its sessions. */
  constructor(
    self: number,
    registry: Registry,
    services: ReactorServices,
    wake: (reactor: number) => void,
    log: (text: string) => void,
  ) {
    this.#self = self;
    this.#registry = registry;
    this.#services = services;
    this.#wake = wake;
    this.#log = log;
    this.#nowhere.close();
  }

  /** All sessions that have not ended. */
  get all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  get count(): number {
    return this.#leases.size;
  }

  /** Whether sessions that have ended wait for their calls. */
  get leaving(): boolean {
    return this.#leaving.length > 0;
  }

  /**
   * Goes on with the session that another process has left in `record`, if nobody
   * has it; a sentence for people of what came of it.
   */
  adopt(record: SessionRecord): string {
    const { details } = record;
    const refuse = (reason: string) => {
      record.remove();
      record.close();
      return `A session of an earlier process is lost: ${reason}`;
    };
    if (details === undefined) return refuse("its client had attached to nothing");
    const entered = this.#registry.enter(details.session, details.uid, this.#self);
    if (entered.kind !== "new") {
      record.close();
      return "A session of an earlier process is served already";
    }
    const { place } = entered;
    const session = new Session(this.#nowhere, this.#services, details, record);
    const recovered = recover(record, this.#services, session);
    if (typeof recovered === "string") {
      this.#registry.leave(place);
      return refuse(recovered);
    }
    session.tree = recovered.tree;
    // Nobody has watched for its client meanwhile.
    recovered.tree.watched.everythingChanged();
    this.#registry.detach(place);
    const untilNs = Bun.nanoseconds() + this.#services.leaseMs * NS_PER_MS;
    const key = keyOf(details.uid, details.session);
    this.#leases.set(key, { session, key, place, connection: undefined, untilNs });
    this.#reckon();
    countRecovered(this.#services.counters, recovered);
    return describe(details.path, recovered);
  }

  /**
   * The session that `hello`, of a peer with user id `uid`, asks for. `forwarded`:
   * another reactor has sent the client here. Throws ProtocolError or Refusal.
   */
  find(hello: ClientHello, uid: number, forwarded: boolean): Found {
    const key = keyOf(uid, hello.session);
    const lease = this.#leases.get(key) ?? this.#revive(key, hello);
    if (lease !== undefined && !hello.resumes) throw new ProtocolError("session exists already");
    if (lease !== undefined) {
      const isSame = lease.session.epoch === hello.epoch;
      if (isSame && this.#registry.attach(lease.place)) return { kind: "here", lease };
      // One that the client began and knows nothing of: it died, or gave up too early.
      lease.connection?.close();
      this.#end(lease);
    }
    const entered = this.#registry.enter(hello.session, uid, this.#self);
    if (entered.kind === "full") throw new Refusal(Goodbye.BUSY, "too many sessions");
    if (entered.kind === "known") {
      if (!hello.resumes) throw new ProtocolError("session exists already");
      // It went and came back while the client was on its way: that has an end.
      if (forwarded) throw new Refusal(Goodbye.BUSY, "session is moving, try again");
      return { kind: "elsewhere", reactor: entered.owner };
    }
    if (entered.evictedFrom === this.#self) this.dropEvicted();
    else if (entered.evictedFrom !== undefined) this.#wake(entered.evictedFrom);
    return { kind: "new", key, place: entered.place, uid };
  }

  /** The session of a process that is gone, perhaps one that served other addresses. */
  #revive(key: string, hello: ClientHello): Lease | undefined {
    const record = hello.resumes ? this.#services.records.find(key) : undefined;
    if (record === undefined) return undefined;
    this.#log(this.adopt(record));
    return this.#leases.get(key);
  }

  /** Begins or continues the session found, over `connection`, and answers `hello`. */
  connect(found: Here, connection: SocketTransport, hello: ClientHello): void {
    if (found.kind === "here") {
      this.#resume(found.lease, connection, hello);
      return;
    }
    const { key, place, uid } = found;
    const session = this.#begin(key, place, connection, hello, uid);
    const lease: Connected = { session, key, place, connection, untilNs: NEVER };
    this.#leases.set(key, lease);
    this.connected.push(lease);
    answerHello(connection, this.#services, hello, this.#standing(session, false));
  }

  #begin(
    key: string,
    place: Place,
    connection: SocketTransport,
    hello: ClientHello,
    uid: number,
  ): Session {
    const { name } = connection.peer;
    const client = { session: hello.session, role: hello.role, uid, ...(name && { name }) };
    try {
      return new Session(connection, this.#services, client, this.#services.records.create(key));
    } catch (error) {
      this.#registry.leave(place);
      throw new Refusal(Goodbye.BUSY, (error as Error).message);
    }
  }

  #resume(lease: Lease, connection: SocketTransport, hello: ClientHello): void {
    const { session } = lease;
    // The client knows better than we do that its old connection is dead.
    if (lease.connection !== undefined) this.#disconnect(lease);
    lease.connection = connection;
    lease.untilNs = NEVER;
    this.#reckon();
    this.connected.push(lease as Connected);
    session.connect(connection);
    this.#services.counters.count("RESUMES");
    answerHello(connection, this.#services, hello, this.#standing(session, true));
    session.catchUp(hello.events);
  }

  #standing(session: Session, resumed: boolean) {
    return { resumed, oneways: session.slots.oneways, lives: session.lives };
  }

  /** Sees to sessions whose connection has ended; how many connections those were. */
  reap(): number {
    const lost = this.connected.filter(({ connection }) => connection.closed);
    for (const lease of lost) {
      this.#disconnect(lease);
      const { session } = lease;
      if (session.ended || session.tree === undefined) {
        this.#end(lease);
        continue;
      }
      this.#registry.detach(lease.place);
      lease.untilNs = Bun.nanoseconds() + this.#services.leaseMs * NS_PER_MS;
    }
    this.#reckon();
    this.disposeEnded();
    return lost.length;
  }

  /** Ends the sessions whose lease is over at `nowNs`. */
  expire(nowNs: number): void {
    for (const lease of this.#leases.values()) {
      if (lease.untilNs <= nowNs) this.#end(lease);
    }
    this.#reckon();
    this.disposeEnded();
  }

  /** Ends the sessions that had to make room for new ones. */
  dropEvicted(): void {
    for (const lease of this.#leases.values()) {
      if (lease.connection === undefined && !this.#registry.holds(lease.place)) this.#end(lease);
    }
    this.#reckon();
    this.disposeEnded();
  }

  /** Ends the sessions of clients whose certificates or names are good no more; `tell` hears of each. */
  dropUnwelcome(tell: (peer: string, reason: string) => void): void {
    const { gate } = this.#services;
    if (gate === undefined) return;
    for (const lease of this.#leases.values()) {
      const { connection, session } = lease;
      const { name } = session.client;
      if (name === undefined) continue;
      const reason = connection === undefined ? undefined : unwelcome(gate, connection);
      if (reason === undefined && gate.ruleOf(name) !== undefined) continue;
      const why = reason ?? `${name} is not enrolled`;
      tell(connection?.peer.description ?? name, why);
      // Its connection is cleared away as every one that has ended.
      session.ended = true;
      if (connection === undefined) this.#end(lease);
      else sayGoodbye(connection, Goodbye.REFUSED, why);
    }
    this.#reckon();
    this.disposeEnded();
  }

  /** Lets go of what ended sessions had, once none of their calls runs. */
  disposeEnded(): void {
    if (this.#leaving.length === 0) return;
    this.#leaving = this.#leaving.filter((session) => {
      if (session.waiting > 0) return true;
      session.dispose();
      this.#disposed++;
      return false;
    });
    if (this.#disposed < COLLECT_AFTER) return;
    this.#disposed = 0;
    Bun.gc(true);
  }

  #disconnect(lease: Lease): void {
    const { connection, session } = lease;
    if (connection === undefined) return;
    lease.connection = undefined;
    this.connected = this.connected.filter((other) => other !== lease);
    this.endedIn += connection.bytesReceived;
    this.endedOut += connection.bytesSent;
    session.connect(this.#nowhere);
    connection.close();
    connection.release();
  }

  #end(lease: Lease): void {
    if (this.#leases.get(lease.key) !== lease) return;
    this.#leases.delete(lease.key);
    const { owner, client } = lease.session;
    // One whose place was given away may have been begun anew elsewhere.
    const isTheOne =
      this.#registry.holds(lease.place) ||
      this.#registry.find(client.session, client.uid) === undefined;
    if (isTheOne) this.#services.bridge.ended(owner);
    this.#registry.leave(lease.place);
    lease.session.cancelAll();
    this.#leaving.push(lease.session);
  }

  #reckon(): void {
    this.dueNs = NEVER;
    for (const { untilNs } of this.#leases.values()) this.dueNs = Math.min(this.dueNs, untilNs);
  }
}

/** Why who is at the other end may not stay; undefined where it may. */
function unwelcome(gate: Gate, { channel }: SocketTransport): string | undefined {
  return channel instanceof TlsChannel ? gate.refusalOf(channel.end) : undefined;
}

function keyOf(uid: number, session: string): string {
  return `${uid}:${session}`;
}

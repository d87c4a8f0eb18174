/**
 * The bridge as the server has it: a process that was found, or is started; given the clients
 * that come for streams; replaced when it was killed. Reactors speak to it over the same
 * descriptor (sender.ts), which is another connection's then.
 */
import type { Loop } from "../../bridge/loop.ts";
import { channelOf, identify } from "../../identity/peer.ts";
import type { Counters } from "../../info/counters.ts";
import { Channel } from "../../keeper/channel.ts";
import { Relay } from "../../keeper/relay.ts";
import { awaitEnd, reachKeeper, startKeeper, Tries } from "../../keeper/start.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { errnoText } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { drainEventfd } from "../../sys/poll.ts";
import { dupOver } from "../../sys/process.ts";
import { relayLane } from "../../sys/qtdma.ts";
import { SOCK_STREAM, setBuffers, socketPair } from "../../sys/socket.ts";
import type { Channel as Connection } from "../../transport/channel.ts";
import { LaneChannel } from "../../transport/pcie.ts";
import { SocketTransport } from "../../transport/socket.ts";
import { TlsChannel } from "../../transport/tls.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello } from "../../wire/hello.ts";
import { checkVersion, Refusal, sayGoodbye } from "../greeting.ts";
import { LogBudget } from "../logbudget.ts";
import type { Arrival, Mailbox } from "../mailbox.ts";
import { ownedBy } from "../owned.ts";
import { ownerOf, type Registry } from "../registry.ts";
import { NO_UID } from "../session.ts";
import { BRIDGE_NAME, FIGURES, type FromBridge, type ToBridge } from "./messages.ts";
import type { BridgeGeneration } from "./sender.ts";

/** How long the server waits for the bridge to have ended everything. */
const END_MS = 5000;
/** Of the sockets in place of a connection by TLS, each way. */
const RELAY_BYTES = 1024 * 1024;

export interface BridgePlace {
  /** The name of its socket, and what starts this program. */
  readonly path: string;
  readonly command: readonly string[];
  /** The connection to it, whatever bridge there is; and the socket that one is yet to be started with, or -1. */
  readonly fd: number;
  readonly listenFd: number;
}

export interface BridgeLinkOptions {
  readonly loop: Loop;
  readonly place: BridgePlace;
  readonly generation: BridgeGeneration;
  readonly mailbox: Mailbox;
  readonly registry: Registry;
  readonly counters: Counters;
  readonly leaseMs: number;
  readonly log: (level: "info" | "warn" | "error", text: string, atMs?: number) => void;
  /** Told of the bridge's process. */
  readonly found: (pid: number) => void;
}

export class BridgeLink {
  readonly #options: BridgeLinkOptions;
  readonly #relays = new Set<Relay>();
  readonly #ofPeers = new LogBudget();
  readonly #tries = new Tries();
  #channel: Channel<FromBridge, ToBridge>;
  /** Violations of the protocol before a client was handed over, and those at the bridge. */
  #protocolErrors = 0;
  #theirErrors = 0;
  #done: (() => void) | undefined;

  constructor(options: BridgeLinkOptions) {
    this.#options = options;
    const { loop, mailbox, place } = options;
    if (place.listenFd >= 0) this.#start(place.listenFd);
    this.#channel = this.#serve();
    loop.add(mailbox.wakeFd, EPOLLIN, { onEvents: () => this.take() });
    loop.beforeSleep(() => this.#beforeSleep());
  }

  /** Takes the connections that reactors have handed over. */
  take(): void {
    const { mailbox } = this.#options;
    drainEventfd(mailbox.wakeFd);
    for (let next = mailbox.take(); next !== undefined; next = mailbox.take()) {
      this.#greeted(next);
      mailbox.ended();
    }
  }

  /** The server ends: streams go on, for another server, or end; `done` once that is so. */
  part(how: "leave" | "end", done: () => void): void {
    this.#done = done;
    this.#channel.send({ kind: how });
    if (how === "leave") done();
    else this.#options.loop.after(END_MS, done);
  }

  #start(listenFd: number): void {
    const { loop, place } = this.#options;
    awaitEnd(loop, startKeeper(BRIDGE_NAME, place.command, place.path, listenFd));
  }

  #serve(): Channel<FromBridge, ToBridge> {
    const { leaseMs, loop, place } = this.#options;
    const channel = new Channel<FromBridge, ToBridge>(place.fd);
    channel.send({ kind: "serve", leaseMs });
    loop.add(place.fd, EPOLLIN, { onEvents: () => this.#hear(channel) });
    return channel;
  }

  /** A client has said HELLO. */
  #greeted({ fd, tls, hello: bytes = new Uint8Array() }: Arrival): void {
    const connection = channelOf(fd, tls);
    const peer = identify(connection);
    try {
      const hello = ownedBy(peer.name, decodeClientHello(bytes));
      checkVersion(hello);
      this.#give(connection, peer, hello);
    } catch (error) {
      this.#refuse(connection, peer, error);
    }
  }

  #give(connection: Connection, peer: PeerIdentity, hello: ClientHello): void {
    const { registry } = this.#options;
    const uid = peer.uid ?? NO_UID;
    const parent = hello.parent ?? "";
    const isKnown = () => registry.find(parent, uid) !== undefined;
    if (!isKnown()) throw new Refusal(Goodbye.REFUSED, "the mount's session is not known");
    const fd = this.#plain(connection);
    if (fd < 0) {
      if (!(connection instanceof LaneChannel)) connection.close();
      this.#say(`Lost the connection for streams of ${peer.description}: ${errnoText(-fd)}`);
      return;
    }
    const owner = ownerOf(parent, uid);
    this.#channel.send({ kind: "client", owner, peer, hello }, fd);
    // Its end may have been told before this.
    if (!isKnown()) this.#channel.send({ kind: "ended", owner });
  }

  /** The connection as another process may have it. */
  #plain(connection: Connection): number {
    if (connection instanceof LaneChannel) {
      connection.leave();
      return relayLane(connection.fd);
    }
    if (!(connection instanceof TlsChannel)) return connection.fd;
    const ends = socketPair(SOCK_STREAM);
    if (typeof ends === "number") return ends;
    const [own, other] = ends;
    for (const end of ends) setBuffers(end, RELAY_BYTES);
    const { loop } = this.#options;
    this.#relays.add(new Relay(loop, connection, own, (relay) => this.#relays.delete(relay)));
    return other;
  }

  #refuse(connection: Connection, peer: PeerIdentity, error: unknown): void {
    const known = error instanceof ProtocolError || error instanceof Refusal;
    if (!known) throw error;
    if (error instanceof ProtocolError) this.#protocolErrors++;
    this.#count();
    const text = `Closed the connection for streams of ${peer.description}: ${error.message}`;
    this.#say(text);
    const transport = new SocketTransport(connection.fd, peer, connection);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, error.message);
    transport.release();
  }

  #say(text: string): void {
    const line = this.#ofPeers.admit(text);
    if (line !== undefined) this.#options.log("warn", line);
  }

  #hear(channel: Channel<FromBridge, ToBridge>): void {
    channel.flush();
    for (let one = channel.receive(); one !== undefined; one = channel.receive()) this.#heard(one);
    if (channel.isOver && channel === this.#channel) this.#lost();
  }

  #heard(message: FromBridge): void {
    const { counters, found, log } = this.#options;
    if (message.kind === "hello") found(message.pid);
    else if (message.kind === "log") log(message.level, message.text, message.atMs);
    else if (message.kind === "done") this.#done?.();
    else {
      this.#theirErrors = message.figures.PROTOCOL_ERRORS;
      for (const name of FIGURES) counters.gauge(name, message.figures[name]);
      this.#count();
    }
  }

  #count(): void {
    this.#options.counters.protocolErrors = this.#protocolErrors + this.#theirErrors;
  }

  /** The bridge is gone, and the streams with it. */
  #lost(): void {
    if (this.#done !== undefined) {
      this.#done();
      return;
    }
    const { generation, loop, log, place } = this.#options;
    log("error", "The bridge was killed: streams to sockets and FIFOs are reset");
    this.#tries.next();
    loop.remove(place.fd);
    const { fd, listenFd } = reachKeeper(place.path);
    // Reactors may be using the number right now.
    dupOver(fd, place.fd, true);
    close(fd);
    if (listenFd >= 0) this.#start(listenFd);
    this.#channel = this.#serve();
    generation.renewed();
  }

  #beforeSleep(): boolean {
    const channel = this.#channel;
    if (channel.isOver && this.#done === undefined) {
      this.#lost();
      return true;
    }
    this.#options.loop.modify(channel.fd, channel.waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return false;
  }
}

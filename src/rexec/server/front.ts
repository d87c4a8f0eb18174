/** What a rexec-server does itself: it listens, hears who comes, and gives clients to its keeper. */
import type { Loop } from "../../bridge/loop.ts";
import type { Gate } from "../../identity/gate.ts";
import type { Counters } from "../../info/counters.ts";
import { checkVersion, Refusal, sayGoodbye } from "../../server/greeting.ts";
import { LogBudget } from "../../server/logbudget.ts";
import { ownedBy } from "../../server/owned.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { relayLane } from "../../sys/qtdma.ts";
import { acceptFrom, closeListener, tune } from "../../transport/endpoint.ts";
import { type Listener, refusalOf } from "../../transport/peers.ts";
import { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello } from "../../wire/hello.ts";
import { GREETERS_MAX, GREETERS_OF_USER_MAX } from "../../wire/limits.ts";
import { type Client, identifyClient } from "./client.ts";
import { Newcomer } from "./newcomer.ts";
import { TlsDoor } from "./tlsdoor.ts";

const SOCKET_BUFFER_BYTES = 1024 * 1024;
/** How long to wait where there is no descriptor or memory for a connection. */
const ACCEPT_PAUSE_MS = 50;

export interface FrontOptions {
  readonly loop: Loop;
  readonly listeners: readonly Listener[];
  /** Who may come by TLS, and where refusals are counted; undefined where nobody may. */
  readonly gate?: Gate | undefined;
  readonly counters: Counters;
  /** Told of names that were let in and are not enrolled any more. */
  readonly revoked: (name: string) => void;
  /** Told of connections (Client.relay) that were closed at the other end. */
  readonly closed: (relay: string) => void;
  readonly log: (level: "info" | "warn", text: string) => void;
  /** Goes on with a client that has said HELLO, by `fd`, which is the callee's then. */
  readonly greeted: (fd: number, client: Client, hello: ClientHello) => void;
}

/** The keeper is another process: in place of a lane it is given a socket. */
function socketOf(listener: Listener, fd: number): number {
  return fd >= 0 && listener.kind === "pcie" ? relayLane(fd) : fd;
}

export class Front {
  readonly #options: FrontOptions;
  readonly #newcomers = new Set<Newcomer>();
  readonly #ofPeers = new LogBudget();
  #door: TlsDoor | undefined;

  constructor(options: FrontOptions) {
    this.#options = options;
    const { counters, gate, loop } = options;
    if (gate !== undefined) {
      this.#door = new TlsDoor({
        loop,
        gate,
        counters,
        log: (text) => this.#say(text),
        revoked: options.revoked,
        closed: options.closed,
        admitted: (fd, client) => this.#welcome(fd, client),
      });
    }
    for (const listener of options.listeners) {
      options.loop.add(listener.fd, EPOLLIN, { onEvents: () => this.#accept(listener) });
    }
  }

  /** Ends the connections of those whose identities are good no more. */
  identitiesChanged(): void {
    this.#door?.look();
  }

  /** Nobody is let in any more. */
  close(): void {
    for (const listener of this.#options.listeners) {
      this.#options.loop.remove(listener.fd);
      closeListener(listener);
    }
  }

  #accept(listener: Listener): void {
    const { loop } = this.#options;
    const fd = socketOf(listener, acceptFrom(listener));
    if (fd === -E.EAGAIN) return;
    if (fd < 0) {
      // The connection stays in the queue and would be found again at once.
      loop.modify(listener.fd, 0);
      loop.after(ACCEPT_PAUSE_MS, () => loop.modify(listener.fd, EPOLLIN));
      return;
    }
    if (listener.tls && this.#door !== undefined) {
      tune(fd, listener.kind, SOCKET_BUFFER_BYTES);
      this.#door.take(fd);
      return;
    }
    const client = identifyClient(fd, listener.kind);
    const reason = refusalOf(fd, listener);
    if (reason !== undefined || this.#isBusy(client)) {
      const why = reason ?? "too many clients that say nothing";
      const code = reason === undefined ? Goodbye.BUSY : Goodbye.REFUSED;
      this.#refuse(fd, client, new Refusal(code, why));
      return;
    }
    tune(fd, listener.kind, SOCKET_BUFFER_BYTES);
    this.#welcome(fd, client);
  }

  /** Whether too many say nothing: of all, or of its user, who is to keep nobody else from coming. */
  #isBusy({ uid }: Client): boolean {
    if (this.#newcomers.size >= GREETERS_MAX) return true;
    if (uid === 0) return false;
    let ofUser = 0;
    for (const { peer } of this.#newcomers) if (peer.uid === uid) ofUser++;
    return ofUser >= GREETERS_OF_USER_MAX;
  }

  /** Waits for what a client has to say first. */
  #welcome(fd: number, client: Client): void {
    const { loop } = this.#options;
    const newcomer: Newcomer = new Newcomer(loop, fd, client, {
      said: (hello) => {
        this.#newcomers.delete(newcomer);
        this.#greeted(fd, client, hello);
      },
      failed: (error) => {
        this.#newcomers.delete(newcomer);
        this.#refuse(fd, client, error);
      },
      gone: () => this.#newcomers.delete(newcomer),
    });
    this.#newcomers.add(newcomer);
  }

  #greeted(fd: number, client: Client, bytes: Uint8Array): void {
    let hello: ClientHello;
    try {
      hello = ownedBy(client.name, decodeClientHello(bytes));
      checkVersion(hello);
      if (hello.role !== "rexec") {
        throw new Refusal(Goodbye.REFUSED, `this is a rexec-server, not one for ${hello.role}`);
      }
    } catch (error) {
      this.#refuse(fd, client, error);
      return;
    }
    this.#options.greeted(fd, client, hello);
  }

  #say(text: string): void {
    const line = this.#ofPeers.admit(text);
    if (line !== undefined) this.#options.log("warn", line);
  }

  #refuse(fd: number, client: Client, error: unknown): void {
    if (!(error instanceof ProtocolError || error instanceof Refusal)) throw error;
    const { message } = error;
    this.#say(`Closed the connection of ${client.description}: ${message}`);
    const transport = new SocketTransport(fd, client);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, message);
    transport.release();
  }
}

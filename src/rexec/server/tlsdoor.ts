/** Clients of a rexec-server that come by TLS: their handshakes, and their data on its way. */
import type { Loop } from "../../bridge/loop.ts";
import type { Gate } from "../../identity/gate.ts";
import { channelOf, identify } from "../../identity/peer.ts";
import type { Counters } from "../../info/counters.ts";
import { Relay } from "../../keeper/relay.ts";
import { Handshakes } from "../../server/handshakes.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { peerText, SOCK_STREAM, socketPair } from "../../sys/socket.ts";
import { TlsChannel } from "../../transport/tls.ts";
import type { Client } from "./client.ts";
import { bytePattern } from "./patterns.ts";

/** How often handshakes that take too long are looked for. */
const LATE_MS = 1000;

export interface TlsDoorOptions {
  readonly loop: Loop;
  readonly gate: Gate;
  readonly counters: Counters;
  readonly log: (text: string) => void;
  /** Told of names that were let in and are not enrolled any more. */
  readonly revoked: (name: string) => void;
  /** A client whose certificate holds, by a descriptor without TLS, which is the callee's. */
  readonly admitted: (fd: number, client: Client) => void;
  /** Told of a client's connection (Client.relay) that was closed at the other end. */
  readonly closed: (relay: string) => void;
}

export class TlsDoor {
  readonly #options: TlsDoorOptions;
  readonly #handshakes: Handshakes;
  readonly #relays = new Set<Relay>();
  #count = 0;
  /** Names that were let in; no more than were ever enrolled. */
  readonly #names = new Set<string>();

  constructor(options: TlsDoorOptions) {
    this.#options = options;
    const { loop, gate, counters, log } = options;
    this.#handshakes = new Handshakes(gate, counters, {
      admitted: (fd, tls) => this.#admitted(fd, tls),
      leaving: (fd) => loop.remove(fd),
      log,
    });
  }

  /** Begins with a connection, which is owned from now on. */
  take(fd: number): void {
    const { loop } = this.#options;
    loop.add(fd, EPOLLIN, { onEvents: () => this.#handshakes.step() });
    this.#handshakes.begin(fd);
    this.#lookAgain();
  }

  /** Ends the connections of those who may not be here any more. */
  look(): void {
    const { gate, log, revoked } = this.#options;
    try {
      gate.refresh();
    } catch (error) {
      log(`The identities cannot be read anew: ${(error as Error).message}`);
    }
    for (const name of this.#names) {
      if (gate.ruleOf(name) !== undefined) continue;
      this.#names.delete(name);
      revoked(name);
    }
    for (const relay of [...this.#relays]) {
      const reason = gate.refusalOf(relay.tls.end);
      if (reason === undefined) continue;
      log(`Ended the connection of ${identify(relay.tls).description}: ${reason}`);
      relay.close();
    }
  }

  close(): void {
    for (const relay of [...this.#relays]) relay.close();
  }

  /** Until all have come to an end. */
  #lookAgain(): void {
    this.#options.loop.after(LATE_MS, () => {
      this.#handshakes.step();
      if (this.#handshakes.waitMs >= 0) this.#lookAgain();
    });
  }

  #admitted(fd: number, tls: number): void {
    const { admitted, closed, gate, log, loop } = this.#options;
    const channel = channelOf(fd, tls);
    const ends = socketPair(SOCK_STREAM);
    if (!(channel instanceof TlsChannel) || typeof ends === "number") {
      channel.close();
      log("A client was sent away: there are no descriptors");
      return;
    }
    const peer = identify(channel);
    const programs = gate.ruleOf(peer.name ?? "")?.programs ?? [];
    const [own, other] = ends;
    if (peer.name !== undefined) this.#names.add(peer.name);
    const name = `${process.pid} ${++this.#count}`;
    const from = peerText(fd);
    const ended = (relay: Relay) => {
      this.#relays.delete(relay);
      if (relay.isClosedByPeer) closed(name);
    };
    this.#relays.add(new Relay(loop, channel, own, ended));
    const nobody = { pid: -1, gid: -1, groups: [] };
    const common = { ...peer, ...nobody, from, relay: name };
    admitted(other, { ...common, programs: programs.map(bytePattern) });
  }
}

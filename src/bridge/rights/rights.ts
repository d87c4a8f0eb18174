/**
 * Descriptors that programs pass over the sockets of one bridge session, both ways
 * (SCM_RIGHTS). What one is decides how it crosses: files by name (share.ts), what
 * carries data by a stream of its own (kind DESCRIPTOR), which is opened before the message
 * that tells of it; README.md of the source has the table. What cannot cross costs the
 * connection that it was sent over, and a line in the log.
 */
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { E, errnoName } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import type { Ancillary } from "../ancillary.ts";
import type { Loop } from "../loop.ts";
import { arrive } from "./arrive.ts";
import type { Bridged } from "./bridged.ts";
import { Carrier } from "./carrier.ts";
import { whole } from "./passed.ts";
import type { ShareFiles } from "./share.ts";
import { TerminalMaster, type TerminalSource } from "./terminal.ts";

/** Descriptors that have come and are not given to anybody yet. */
const ARRIVED_MAX = 4096;
/** Bytes of memory that they take. */
const BYTES_MAX = 256 * 1024 * 1024;
/** How long the message that tells of one may be away. */
const UNCLAIMED_MS = 60_000;
const ID_MAX = 2 ** 48;

/** Where streams are opened: a BridgeEnd. */
export interface Opener {
  open(kind: number, description: readonly unknown[], handler: StreamHandler): Stream | undefined;
  whenRoom(fn: () => void): void;
}

export interface RightsOptions {
  readonly loop: Loop;
  readonly opener: Opener;
  readonly share: ShareFiles;
  /** One line for each descriptor that could not cross. */
  readonly log: (text: string) => void;
}

/** A descriptor that has come by a stream, for a message that will tell of it. */
interface Arrival {
  /** -1 until it is ready. */
  fd: number;
  /** Who waits for it. */
  claimed: ((fd: number) => void) | undefined;
  cancelTimer: () => void;
  /** Bytes of memory that it takes here. */
  bytes: number;
}

export class Rights {
  readonly loop: Loop;
  readonly opener: Opener;
  readonly share: ShareFiles;
  /** Terminals of this side that have a stream, by their devices' numbers. */
  readonly terminals = new Map<string, { id: number; source: TerminalSource }>();
  readonly #log: (text: string) => void;
  /** Those of this side that stand for terminals of the peer's. */
  readonly #masters = new Map<number, TerminalMaster>();
  readonly #arrived = new Map<number, Arrival>();
  #nextId = 1;
  /** Bytes of memory of those that have arrived. */
  #bytes = 0;

  constructor({ loop, opener, share, log }: RightsOptions) {
    this.loop = loop;
    this.opener = opener;
    this.share = share;
    this.#log = log;
  }

  /** For one connection of programs; `peer` is who, for the log. */
  carrier(peer: string): Ancillary {
    return new Carrier(this, peer);
  }

  /** Takes a stream of kind DESCRIPTOR: `[id, what, flags, …]` (Taker of end.ts). */
  readonly take = (stream: Stream, items: readonly unknown[]): StreamHandler | number => {
    const id = whole(items[0], ID_MAX);
    if (this.#arrived.has(id) || this.#arrived.size >= ARRIVED_MAX) return E.EMFILE;
    const arrival: Arrival = { fd: -1, claimed: undefined, cancelTimer: () => {}, bytes: 0 };
    this.#arrived.set(id, arrival);
    const handler = this.#arrive(arrival, id, items);
    if (typeof handler === "number") {
      this.#forget(arrival, id);
      this.refused(`What the peer has sent (${errnoName(handler)})`, "a stream");
      return handler;
    }
    if (handler instanceof TerminalMaster) this.#masters.set(id, handler);
    arrival.cancelTimer = this.loop.after(UNCLAIMED_MS, () => {
      handler.close(E.EPIPE);
      this.#gone(arrival, id);
    });
    handler.start(stream);
    return handler;
  };

  #arrive(arrival: Arrival, id: number, items: readonly unknown[]): Bridged | number {
    const arriving = {
      reserve: (bytes: number) => this.#reserve(arrival, bytes),
      ready: (fd: number) => this.#ready(arrival, fd, id),
      gone: () => this.#gone(arrival, id),
      ended: () => void this.#masters.delete(id),
    };
    try {
      return arrive(this, items, arriving);
    } catch (error) {
      // What the peer has said of it is wrong.
      this.#forget(arrival, id);
      throw error;
    }
  }

  /** A number for a stream that this side opens. */
  nextId(): number {
    return this.#nextId++;
  }

  /** Gives out the descriptor that came as `id`, now or when it is ready; -errno: there is none. */
  claim(id: number, done: (fd: number) => void): void {
    const arrival = this.#arrived.get(id);
    if (arrival === undefined || arrival.claimed !== undefined) done(-E.EBADMSG);
    else if (arrival.fd < 0) arrival.claimed = done;
    else this.#give(arrival, id, done);
  }

  /** Another descriptor of the terminal that came as `id`: or -errno. */
  terminalAgain(id: number, flags: number): number {
    const master = this.#masters.get(id);
    return master === undefined ? -E.EIO : master.another(flags);
  }

  /** Says what could not cross. */
  refused(what: string, peer: string): void {
    this.#log(`${what} cannot be passed over ${peer}: the connection is reset`);
  }

  /** The session is lost: descriptors that nobody has got are closed. */
  close(): void {
    for (const [id, arrival] of [...this.#arrived]) this.#gone(arrival, id);
  }

  #ready(arrival: Arrival, fd: number, id: number): void {
    if (this.#arrived.get(id) !== arrival) close(fd);
    else {
      arrival.fd = fd;
      if (arrival.claimed !== undefined) this.#give(arrival, id, arrival.claimed);
    }
  }

  #reserve(arrival: Arrival, bytes: number): boolean {
    if (this.#bytes + bytes > BYTES_MAX) return false;
    this.#bytes += bytes;
    arrival.bytes = bytes;
    return true;
  }

  #forget(arrival: Arrival, id: number): void {
    arrival.cancelTimer();
    this.#arrived.delete(id);
    this.#bytes -= arrival.bytes;
  }

  #give(arrival: Arrival, id: number, done: (fd: number) => void): void {
    this.#forget(arrival, id);
    done(arrival.fd);
  }

  /** It was given up before anybody had it. */
  #gone(arrival: Arrival, id: number): void {
    if (this.#arrived.get(id) !== arrival) return;
    this.#forget(arrival, id);
    if (arrival.fd >= 0) close(arrival.fd);
    arrival.claimed?.(-E.ECONNRESET);
  }
}

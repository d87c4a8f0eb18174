/**
 * Joins a connection by TLS to a socket of this machine: who has the socket's other end, in
 * whatever process, has a connection without TLS.
 */
import type { Loop, Watched } from "../bridge/loop.ts";
import { EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { type Channel, PlainChannel } from "../transport/channel.ts";
import type { TlsChannel } from "../transport/tls.ts";

/** Bytes on their way in each direction. */
const ROOM_BYTES = 128 * 1024;

/** One direction: what was received lies at [#from, #to). */
class Lane {
  readonly #source: Channel;
  readonly #sink: Channel;
  readonly #room: Region = allocate(ROOM_BYTES);
  #from = 0;
  #to = 0;
  /** The source has ended; what it has sent still goes. */
  #isOver = false;
  /** The errno that the source has ended with, 0 at its end, and that of the sink. */
  sourceEnding: number | undefined;
  sinkEnding: number | undefined;

  constructor(source: Channel, sink: Channel) {
    this.#source = source;
    this.#sink = sink;
  }

  /** Whether bytes wait for the sink. */
  get isFull(): boolean {
    return this.#to > this.#from || this.#sink.held > 0;
  }

  /** Moves what can be moved; false once there will be nothing more, or the sink takes nothing. */
  move(): boolean {
    while (true) {
      if (this.#from === this.#to && !this.#fill()) return !this.#isOver || this.#sink.held > 0;
      const sent = this.#sink.send(this.#room.address + this.#from, this.#to - this.#from);
      if (sent === -E.EAGAIN) return true;
      if (sent < 0) {
        this.sinkEnding = -sent;
        return false;
      }
      this.#from += sent;
    }
  }

  /** Receives more; false where there is nothing now, or no more. */
  #fill(): boolean {
    // What the sink has taken goes first, or it would be held without bound.
    if (this.#sink.held > 0 && this.#sink.flush() < 0) return false;
    if (this.#isOver) return false;
    const got = this.#source.receive(this.#room.address, ROOM_BYTES);
    if (got === -E.EAGAIN) return false;
    this.#from = 0;
    this.#to = Math.max(0, got);
    this.#isOver = got <= 0;
    if (got <= 0) this.sourceEnding = -got;
    return got > 0;
  }

  free(): void {
    free(this.#room);
  }
}

/** What a connection ends with that the peer has closed, with or without data that it had not read. */
const ENDINGS_BY_PEER: ReadonlySet<number> = new Set([0, E.ECONNRESET, E.EPIPE]);

export class Relay implements Watched {
  readonly tls: TlsChannel;
  readonly #loop: Loop;
  readonly #plain: PlainChannel;
  readonly #lanes: readonly [inward: Lane, outward: Lane];
  readonly #ended: (relay: Relay) => void;
  #isClosed = false;

  /** Owns both connections; `ended` is told when they are closed. */
  constructor(loop: Loop, tls: TlsChannel, plainFd: number, ended: (relay: Relay) => void) {
    this.#loop = loop;
    this.tls = tls;
    this.#plain = new PlainChannel(plainFd);
    this.#lanes = [new Lane(tls, this.#plain), new Lane(this.#plain, tls)];
    this.#ended = ended;
    loop.add(tls.fd, EPOLLIN, this);
    loop.add(plainFd, EPOLLIN, this);
    this.onEvents();
  }

  onEvents(): void {
    if (this.#isClosed) return;
    const [inward, outward] = this.#lanes;
    const goesOn = inward.move() && outward.move();
    if (!goesOn) {
      this.close();
      return;
    }
    this.#loop.modify(this.tls.fd, interest(inward, outward));
    this.#loop.modify(this.#plain.fd, interest(outward, inward));
  }

  /** Whether it has ended because the peer, its kernel as it died, or somebody between has closed the connection by TLS. */
  get isClosedByPeer(): boolean {
    const [inward, outward] = this.#lanes;
    const ending = inward.sourceEnding ?? outward.sinkEnding;
    return ending !== undefined && ENDINGS_BY_PEER.has(ending);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const channel of [this.tls, this.#plain]) {
      this.#loop.remove(channel.fd);
      channel.close();
    }
    for (const lane of this.#lanes) lane.free();
    this.#ended(this);
  }
}

/** What to wait for at a descriptor that `from` reads and `to` writes. */
function interest(from: Lane, to: Lane): number {
  return (from.isFull ? 0 : EPOLLIN) | (to.isFull ? EPOLLOUT : 0);
}

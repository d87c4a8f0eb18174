/**
 * One end of a bridge session: streams over connections that come and go, in a Loop.
 * Who has it gives it connections after their handshake (`connect`) and hears of
 * their ends; what the session carries goes by kinds (`handle`, `open`).
 */
import { encode } from "cbor-x/encode";
import { Resumable } from "../session/resumable.ts";
import type { Stream, StreamHandler } from "../session/stream.ts";
import { Streams } from "../session/streams.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED } from "../transport/transport.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { splicedMax } from "../wire/hello.ts";
import { NAME_MAX } from "../wire/limits.ts";
import { decodePlain } from "../wire/plain.ts";
import { Liveness } from "./liveness.ts";
import type { Loop, Watched } from "./loop.ts";

/** The longest that what has come is held. */
const HOLD_MAX_MS = 100;
/** Bytes taken in before others have their turn. */
const RECEIVE_MAX = 512 * 1024;
/** Headers and payloads received apart before others have their turn. */
const PARTS_MAX = 16;

/** What a connection ends with that the peer has closed, with or without data that it had not read. */
const ENDINGS_BY_PEER: ReadonlySet<number> = new Set([0, E.ECONNRESET, E.EPIPE]);

/** Takes a stream that the peer has opened: who handles it, or the errno that refuses it. */
export type Taker = (stream: Stream, description: readonly unknown[]) => StreamHandler | number;

/** Who has an end, and sees to its connections. */
export interface BridgeOwner {
  /**
   * The connection has ended; the session goes on with the next one, if one comes. `byPeer`:
   * the peer has closed it, or its kernel as it died, or somebody between.
   */
  disconnected(byPeer: boolean): void;
  /** Whether a peer that acknowledges nothing for long is out of reach; without it, it is. */
  isOutOfReach?(fd: number): boolean;
  /** The peer has said why it closes the connection (Goodbye). */
  goodbye(code: number, reason: string): void;
  /** The peer has broken the protocol, or something has failed here: the session cannot go on. */
  failed(error: unknown): void;
}

export class BridgeEnd implements Watched {
  readonly #loop: Loop;
  readonly #side: "client" | "server";
  readonly #owner: BridgeOwner;
  readonly #takers = new Map<number, Taker>();
  readonly #unhook: () => void;
  #resumable: Resumable;
  #streams: Streams;
  /** Descriptor in the loop, or -1. */
  #fd = -1;
  /** The connection takes nothing more until it says so. */
  #isFull = false;
  /** Frames may have come with the peer's HELLO, of which epoll(7) knows nothing. */
  #mayHold = false;
  /** Who has what comes held, and whether a frame was stepped to that has to wait for them. */
  readonly #holders = new Set<() => void>();
  #hasHeldFrame = false;
  readonly #liveness: Liveness;
  #waiting: (() => void)[] = [];
  /** Bytes of sessions that were lost. */
  #lostIn = 0;
  #lostOut = 0;

  constructor(loop: Loop, side: "client" | "server", owner: BridgeOwner) {
    this.#loop = loop;
    this.#side = side;
    this.#owner = owner;
    this.#liveness = new Liveness(loop, () => {
      if (owner.isOutOfReach?.(this.#fd) ?? true) this.#ended();
    });
    [this.#resumable, this.#streams] = this.#begin();
    this.#unhook = loop.beforeSleep(() => {
      try {
        return this.#flush();
      } catch (error) {
        owner.failed(error);
        return true;
      }
    });
  }

  /** Takes streams of `kind` (StreamKind) that the peer opens; others are refused. */
  handle(kind: number, taker: Taker): void {
    this.#takers.set(kind, taker);
  }

  /**
   * Opens a stream of `kind` to what `description` says; undefined where there are too many,
   * or too much waits to be sent: `whenRoom` tells when it is worth another try.
   */
  open(kind: number, description: readonly unknown[], handler: StreamHandler): Stream | undefined {
    return this.#streams.open(kind, encode(description), handler);
  }

  /** Calls `fn` once, when there is room to open a stream. */
  whenRoom(fn: () => void): void {
    this.#waiting.push(fn);
  }

  /**
   * Holds what the peer has sent, but for handlers that pass (StreamHandler), until the result
   * is called, or for HOLD_MAX_MS: it was sent after something that is not done here yet.
   */
  hold(): () => void {
    const letGo = () => {
      if (!this.#holders.delete(letGo)) return;
      cancel();
      this.#mayHold = true;
    };
    const cancel = this.#loop.after(HOLD_MAX_MS, letGo);
    this.#holders.add(letGo);
    return letGo;
  }

  /** STREAM frames taken in, for the handshake. */
  get taken(): number {
    return this.#resumable.taken;
  }

  /** The connection there is. */
  get connection(): SocketTransport | undefined {
    return this.#resumable.connection;
  }

  get connected(): boolean {
    return this.#fd >= 0;
  }

  /** Streams that are not closed on both ends. */
  get streams(): number {
    return this.#streams.size;
  }

  get bytesReceived(): number {
    return this.#lostIn + this.#resumable.bytesReceived;
  }

  get bytesSent(): number {
    return this.#lostOut + this.#resumable.bytesSent;
  }

  /**
   * Goes on over `connection`, owned from now on, whose peer has taken in `count` frames of
   * the session. Throws ProtocolError where it cannot have; the connection is the caller's then.
   * `capabilities`: what the peer said of itself.
   */
  connect(connection: SocketTransport, count: number, capabilities: readonly string[] = []): void {
    this.#serveHeldFrame();
    this.#unwatch();
    this.#resumable.attach(connection, count, splicedMax(capabilities));
    this.#fd = connection.fd;
    this.#isFull = false;
    this.#mayHold = true;
    this.#loop.add(this.#fd, EPOLLIN, this);
  }

  /** Sends at once what has gathered, as far as the connection takes it. */
  flush(): void {
    this.#flush();
  }

  /** Ends the connection and waits for another: the owner is not told. */
  disconnect(): void {
    try {
      this.#serveHeldFrame();
    } catch (error) {
      this.#owner.failed(error);
      return;
    }
    this.#unwatch();
    this.#resumable.detach();
  }

  /** Tells the peer why the session ends, as far as that can be said at once. */
  sayGoodbye(code: number, reason: string): void {
    const resumable = this.#resumable;
    const { connection } = resumable;
    // Only behind a whole frame.
    if (connection === undefined || this.#isFull || !resumable.flush()) return;
    const w = connection.begin(Kind.GOODBYE);
    w.array(2);
    w.uint(code);
    w.latin1(reason.slice(0, NAME_MAX));
    connection.end();
    connection.flush();
  }

  /** The session is lost: all streams end with `errno`, and another one may begin. */
  renew(errno: number): void {
    this.#drop(errno);
    [this.#resumable, this.#streams] = this.#begin();
  }

  /** Ends for good, all streams with `errno`. */
  close(errno: number): void {
    this.#unhook();
    this.#drop(errno);
    this.#waiting = [];
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#isFull = false;
    if ((events & ~EPOLLOUT) === 0) return;
    if (this.#hasHeldFrame) {
      // A connection that has ended says so again and again.
      if ((events & (EPOLLERR | EPOLLHUP)) !== 0) for (const letGo of this.#holders) letGo();
      return;
    }
    const resumable = this.#resumable;
    try {
      let got = resumable.receive(RECEIVE_MAX);
      this.#serve(resumable);
      // What TLS has taken from the socket already, epoll(7) will not tell of.
      // Large payloads come apart from what is before them.
      for (
        let i = 0;
        got > 0 && (resumable.hasHeld || (resumable.comesApart && i < PARTS_MAX));
        i++
      ) {
        if (resumable !== this.#resumable || this.#hasHeldFrame) break;
        got = resumable.receive(RECEIVE_MAX);
        this.#serve(resumable);
      }
      if (got === CLOSED && resumable === this.#resumable) this.#ended();
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  #begin(): [Resumable, Streams] {
    const resumable = new Resumable();
    const streams = new Streams(resumable, this.#side, (stream, kind, description) =>
      this.#take(stream, kind, description),
    );
    return [resumable, streams];
  }

  #drop(errno: number): void {
    this.#hasHeldFrame = false;
    this.disconnect();
    this.#lostIn += this.#resumable.bytesReceived;
    this.#lostOut += this.#resumable.bytesSent;
    this.#resumable.close();
    this.#streams.close(errno);
  }

  #take(stream: Stream, kind: number, description: Uint8Array): StreamHandler | number {
    const items = decodePlain(description);
    if (!Array.isArray(items)) throw new ProtocolError("a stream's description is no list");
    const taker = this.#takers.get(kind);
    return taker === undefined ? E.EPROTONOSUPPORT : taker(stream, items);
  }

  /** The one frame that was stepped to: it has been counted, and will not come again. */
  #serveHeldFrame(): void {
    if (!this.#hasHeldFrame) return;
    this.#hasHeldFrame = false;
    this.#streams.receive();
  }

  #serveHeld(): void {
    if (!this.#mayHold) return;
    this.#mayHold = false;
    try {
      this.#serve(this.#resumable);
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  /** Serves the frames that have arrived; one may put an end to the session, or its connection. */
  #serve(resumable: Resumable): void {
    while (resumable === this.#resumable && (this.#hasHeldFrame || resumable.next())) {
      if (resumable.kind === Kind.STREAM) {
        this.#hasHeldFrame = this.#holders.size > 0 && !this.#streams.nextPasses;
        if (this.#hasHeldFrame) return;
        this.#streams.receive();
        continue;
      }
      if (resumable.kind !== Kind.GOODBYE) {
        throw new ProtocolError(`frame of kind ${resumable.kind} is not for a bridge`);
      }
      const { reader } = resumable;
      if (reader.array() !== 2) throw new ProtocolError("GOODBYE of a wrong length");
      const code = reader.uint();
      const reason = reader.latin1(NAME_MAX);
      reader.finish();
      this.disconnect();
      this.#owner.goodbye(code, reason);
      return;
    }
  }

  #ended(): void {
    const ending = this.#resumable.connection?.ending;
    this.disconnect();
    this.#owner.disconnected(ending !== undefined && ENDINGS_BY_PEER.has(ending));
  }

  #unwatch(): void {
    this.#liveness.stop();
    if (this.#fd >= 0) this.#loop.remove(this.#fd);
    this.#fd = -1;
  }

  /** Sends what has gathered; whether there is more to do at once. */
  #flush(): boolean {
    this.#serveHeld();
    this.#tellOfRoom();
    this.#streams.flush();
    if (this.#fd < 0) return false;
    const resumable = this.#resumable;
    const wasCongested = resumable.congested;
    if (!this.#isFull) this.#isFull = !resumable.flush() && resumable.pending;
    if (resumable.connection?.closed) {
      this.#ended();
      return true;
    }
    const wanted = this.#hasHeldFrame ? 0 : EPOLLIN;
    this.#loop.modify(this.#fd, this.#isFull ? wanted | EPOLLOUT : wanted);
    this.#liveness.watch(resumable);
    return wasCongested && !resumable.congested;
  }

  #tellOfRoom(): void {
    if (this.#waiting.length === 0 || this.#resumable.congested) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const fn of waiting) fn();
  }
}

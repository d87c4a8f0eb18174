/**
 * Reads a unix STREAM socket without losing what travels beside the bytes, nor the
 * place where it does: descriptors come with the first byte of the piece that they were
 * sent with, and no byte before it (a reader of that byte alone would lose them).
 *
 * The kernel glues pieces together in one read, so each read looks first (MSG_PEEK):
 * that tells how much there is before the sender changes or an out-of-band byte
 * comes, and whether descriptors are in it.
 */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import {
  isAtMark,
  MSG_CTRUNC,
  peekMessage,
  piecesBefore,
  receivedCredentials,
  receivedFds,
  receivedFlags,
  receivedSameCredentials,
  receiveMessage,
} from "../sys/message.ts";
import { recv } from "../sys/socket.ts";
import {
  type PeerCredentials,
  SO_OOBINLINE,
  SO_PASSCRED,
  SOL_SOCKET,
  setInt,
} from "../sys/sockopt.ts";
import { STREAM_CHUNK_MAX } from "../wire/limits.ts";
import { OutOfBand } from "../wire/streams.ts";
import { type Ancillary, encodeCredentials, RIGHTS_MAX } from "./ancillary.ts";
import { Backlog } from "./backlog.ts";

/** What `read` says where the next byte has something beside it; below all errno. */
const CREDENTIALS_NEXT = -5001;
const URGENT_NEXT = -5002;
const RIGHTS_NEXT = -5003;

/** Whether a result of `read` asks for `take` to be called. */
export function isBeside(result: number): boolean {
  return result <= CREDENTIALS_NEXT;
}

/** How `take` has ended; or a positive errno. */
export const TAKEN = 0;
export const WAITS = -1;

/** A piece that came with descriptors has at most so many bytes here; the rest follows as data. */
const room = allocate(STREAM_CHUNK_MAX);

export class BesideSource {
  readonly #fd: number;
  readonly #ancillary: Ancillary;
  readonly #resume: () => void;
  #credentials: PeerCredentials = { pid: -1, uid: 0, gid: 0 };
  /** A piece whose descriptors are on their way, or have been told. */
  readonly #piece = new Backlog();
  #packed: Uint8Array | undefined;
  /** Its descriptors have been told. */
  #isTold = false;
  #failure = 0;
  /** The next byte is known not to be out of band: what comes now comes behind it. */
  nextIsPlain = false;
  /** Bytes that have gone to the stream with descriptors. */
  bytes = 0;

  /** `resume` is called when descriptors that were waited for have been packed. */
  constructor(fd: number, ancillary: Ancillary, resume: () => void) {
    this.#fd = fd;
    this.#ancillary = ancillary;
    this.#resume = resume;
    setInt(fd, SOL_SOCKET, SO_PASSCRED, 1);
    setInt(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  }

  /** Whether a piece with descriptors has to be sent before anything else is read. */
  get holds(): boolean {
    return this.#piece.length > 0;
  }

  /** To be called before `read`, not from within Stream.fill. */
  prepare(): void {
    this.#ancillary.refresh();
  }

  /** Bytes, 0, -errno, or what `take` is to be called with. */
  read(address: number, max: number): number {
    const there = peekMessage(this.#fd, address, max);
    if (there <= 0) return there;
    const hasFds = (receivedFlags() & MSG_CTRUNC) !== 0;
    if (!receivedSameCredentials(this.#credentials)) return CREDENTIALS_NEXT;
    // After the look, for that has shown that there is a next byte.
    const isPlain = this.nextIsPlain;
    this.nextIsPlain = false;
    if (!isPlain && isAtMark(this.#fd)) return URGENT_NEXT;
    if (!hasFds) return recv(this.#fd, address, there);
    const before = piecesBefore(this.#fd, address, there);
    return before > 0 ? recv(this.#fd, address, before) : RIGHTS_NEXT;
  }

  /** Sends what `read` has found beside the next byte: TAKEN, WAITS or the errno of failing. */
  take(stream: Stream, what: number): number {
    if (what === CREDENTIALS_NEXT) return this.#takeCredentials(stream);
    if (what === URGENT_NEXT) return this.#takeUrgent(stream);
    return this.#takeRights(stream);
  }

  #takeCredentials(stream: Stream): number {
    peekMessage(this.#fd, room.address, 1);
    const credentials = receivedCredentials();
    if (credentials === undefined) return E.EPROTO;
    if (!stream.sendOutOfBand(OutOfBand.CREDENTIALS, encodeCredentials(credentials))) return WAITS;
    this.#credentials = credentials;
    return TAKEN;
  }

  #takeUrgent(stream: Stream): number {
    peekMessage(this.#fd, room.address, 1);
    if (!stream.sendOutOfBand(OutOfBand.URGENT, room.bytes.subarray(0, 1))) return WAITS;
    recv(this.#fd, room.address, 1);
    return TAKEN;
  }

  #takeRights(stream: Stream): number {
    const got = receiveMessage(this.#fd, room.address, STREAM_CHUNK_MAX);
    if (got <= 0) return got === 0 ? TAKEN : -got;
    const fds = receivedFds();
    // As when there is no room for descriptors in this process: some are lost.
    const lost = (receivedFlags() & MSG_CTRUNC) !== 0;
    this.#piece.put(room.bytes.subarray(0, got));
    if (fds.length === 0 && !lost) {
      // They are behind this piece, which was larger than what was looked at.
      this.#isTold = true;
      return this.sendHeld(stream);
    }
    let isNow = true;
    this.#ancillary.pack(fds, (packed) => {
      if (typeof packed === "number") this.#failure = packed;
      else if (packed.length > RIGHTS_MAX) this.#failure = E.EMSGSIZE;
      else this.#packed = packed;
      if (!isNow) this.#resume();
    });
    isNow = false;
    return lost ? E.EMFILE : this.sendHeld(stream);
  }

  /** Sends the piece that is held, with its descriptors first: as `take`. */
  sendHeld(stream: Stream): number {
    if (this.#failure !== 0) return this.#failure;
    if (this.#packed !== undefined) {
      const message = Buffer.alloc(4 + this.#packed.length);
      message.writeUInt32LE(this.#piece.length, 0);
      message.set(this.#packed, 4);
      if (!stream.sendOutOfBand(OutOfBand.RIGHTS, message)) return WAITS;
      this.#packed = undefined;
      this.#isTold = true;
    }
    if (!this.#isTold) return WAITS;
    const sent = stream.send(this.#piece.first(this.#piece.length));
    if (sent > 0) {
      this.#piece.drop(sent);
      this.bytes += sent;
    }
    if (this.holds) return WAITS;
    this.#isTold = false;
    return TAKEN;
  }

  /** Nothing more is read. */
  close(): void {
    if (this.holds && !this.#isTold) this.#ancillary.drop();
    this.#piece.clear();
  }
}

/** One direction of a message pump: each message of a socket becomes `u32le length`, bytes. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import {
  MSG_CTRUNC,
  MSG_TRUNC,
  receivedCredentials,
  receivedFds,
  receivedFlags,
  receivedSameCredentials,
  receiveMessage,
} from "../sys/message.ts";
import { SOCK_DGRAM } from "../sys/socket.ts";
import { type PeerCredentials, SO_PASSCRED, SOL_SOCKET, setInt } from "../sys/sockopt.ts";
import { MESSAGE_MAX } from "../wire/limits.ts";
import { OutOfBand } from "../wire/streams.ts";
import { type Ancillary, encodeCredentials, RIGHTS_MAX } from "./ancillary.ts";
import { Backlog } from "./backlog.ts";

/** Bytes of a message's length. */
export const LENGTH_BYTES = 4;
/** Messages in a row, before others have their turn. */
const MESSAGES_MAX = 16;

/** Where a message is received. */
const room = allocate(LENGTH_BYTES + MESSAGE_MAX);

/** A message that waits to be sent, with what goes before its bytes. */
export class MessageSource {
  readonly #fd: number;
  readonly #type: number;
  readonly #ancillary: Ancillary;
  readonly #resume: () => void;
  readonly #frame = new Backlog();
  #credentials: PeerCredentials = { pid: -1, uid: 0, gid: 0 };
  /** Credentials and descriptors to be told before the bytes. */
  #toTell: PeerCredentials | undefined;
  #packed: Uint8Array | undefined;
  #isPacking = false;
  #failure = 0;
  /** Bytes of messages, and messages, that have gone to the stream. */
  bytes = 0;
  messages = 0;
  /** Nothing more comes, or is wanted. */
  isOver = false;
  /** The stream takes nothing now, or descriptors are on their way: it will be said when to go on. */
  blocked = false;

  /** `resume` is called when descriptors that were waited for have been packed. */
  constructor(fd: number, type: number, ancillary: Ancillary, resume: () => void) {
    this.#fd = fd;
    this.#type = type;
    this.#ancillary = ancillary;
    this.#resume = resume;
    setInt(fd, SOL_SOCKET, SO_PASSCRED, 1);
  }

  /**
   * Moves what is there, `all` of it or a few messages: 0, or the errno for which the
   * socket is of no use any more. Sets `isOver` at its end.
   */
  pull(stream: Stream, all: boolean): number {
    this.#ancillary.refresh();
    for (let count = 0; all || count < MESSAGES_MAX; count++) {
      if (!stream.writable) {
        this.isOver = true;
        return 0;
      }
      if (!this.#sendHeld(stream)) return this.#failure;
      const result = this.#receive(stream);
      if (result === -E.EAGAIN || this.isOver) return 0;
      if (result < 0 && result !== -E.EINTR) return -result;
    }
    return 0;
  }

  /** Takes one message from the socket and sends as much of it as goes. */
  #receive(stream: Stream): number {
    const at = room.address + LENGTH_BYTES;
    const length = receiveMessage(this.#fd, at, MESSAGE_MAX, MSG_TRUNC);
    if (length < 0) return length;
    // Credentials come with every message, also with one without bytes, but not with the end.
    if (length === 0 && this.#type !== SOCK_DGRAM && receivedCredentials() === undefined) {
      this.isOver = true;
      return 0;
    }
    const fds = receivedFds();
    const isLost = (receivedFlags() & MSG_CTRUNC) !== 0;
    const isSame = receivedSameCredentials(this.#credentials);
    if (!isSame) this.#toTell = receivedCredentials();
    if (fds.length > 0) this.#pack(fds);
    if (length > MESSAGE_MAX) return -E.EMSGSIZE;
    if (isLost) return -E.EMFILE;
    this.bytes += length;
    this.messages++;
    room.view.setUint32(0, length, true);
    const frame = room.bytes.subarray(0, LENGTH_BYTES + length);
    const sent = isSame && fds.length === 0 ? Math.max(0, stream.send(frame)) : 0;
    this.#frame.put(frame.subarray(sent));
    return length;
  }

  #pack(fds: readonly number[]): void {
    this.#isPacking = true;
    let isNow = true;
    this.#ancillary.pack(fds, (packed) => {
      this.#isPacking = false;
      if (typeof packed === "number") this.#failure = packed;
      else if (packed.length > RIGHTS_MAX) this.#failure = E.EMSGSIZE;
      else this.#packed = packed;
      if (!isNow) this.#resume();
    });
    isNow = false;
  }

  /** Sends what is held, in its order; false: later, or never (#failure). */
  #sendHeld(stream: Stream): boolean {
    this.blocked = this.#failure === 0 && !this.#sendAll(stream);
    return !this.blocked && this.#failure === 0;
  }

  #sendAll(stream: Stream): boolean {
    if (this.#isPacking) return false;
    if (this.#toTell !== undefined) {
      const message = encodeCredentials(this.#toTell);
      if (!stream.sendOutOfBand(OutOfBand.CREDENTIALS, message)) return false;
      this.#credentials = this.#toTell;
      this.#toTell = undefined;
    }
    if (this.#packed !== undefined) {
      const message = Buffer.alloc(LENGTH_BYTES + this.#packed.length);
      message.writeUInt32LE(this.#frame.length, 0);
      message.set(this.#packed, LENGTH_BYTES);
      if (!stream.sendOutOfBand(OutOfBand.RIGHTS, message)) return false;
      this.#packed = undefined;
    }
    if (this.#frame.length === 0) return true;
    const sent = stream.send(this.#frame.first(this.#frame.length));
    if (sent > 0) this.#frame.drop(sent);
    return this.#frame.length === 0;
  }

  close(): void {
    this.isOver = true;
    if (this.#isPacking || this.#packed !== undefined) this.#ancillary.drop();
    this.#frame.clear();
  }
}

/**
 * A connection by TLS 1.3, both sides of which show certificates. Data is encrypted from where
 * it lies into a buffer of OpenSSL's, which is sent from; and decrypted to where it is wanted.
 */
import { E } from "../sys/errno.ts";
import { pread } from "../sys/io.ts";
import { close } from "../sys/open.ts";
import { TLS_ENDED, TLS_FAILED, TLS_WAITS, type TlsEnd } from "../sys/openssl.ts";
import { send, unsentBytes } from "../sys/socket.ts";
import { type Channel, fileRoom } from "./channel.ts";

export class TlsChannel implements Channel {
  readonly isPlain = false;
  readonly fd: number;
  readonly end: TlsEnd;
  /** Encrypted bytes that the socket has not taken. */
  #encrypted = 0;
  #isGreeted: boolean;
  readonly #check: ((end: TlsEnd) => string | undefined) | undefined;
  #failure: string | undefined;

  /**
   * `check`, for one whose handshake is still to be made: what is wrong with who was met.
   * Until then nothing is taken to be sent.
   */
  constructor(fd: number, end: TlsEnd, check?: (end: TlsEnd) => string | undefined) {
    this.fd = fd;
    this.end = end;
    this.#check = check;
    this.#isGreeted = check === undefined;
  }

  get failure(): string | undefined {
    return this.#failure ?? this.end.failure;
  }

  get held(): number {
    return this.#encrypted;
  }

  get hasHeld(): boolean {
    return this.#isGreeted && this.end.hasPending;
  }

  receive(address: number, room: number): number {
    if (!this.#isGreeted) {
      const result = this.shake();
      if (result < 0) return result;
    }
    const got = this.end.read(address, room);
    if (got > 0) return got;
    // What TLS itself has to say to what was read.
    if (this.#encrypted > 0 || this.end.outgoing > 0) this.flush();
    return outcome(got);
  }

  /** Goes on with the handshake: 0 once it is done, or -errno. */
  shake(): number {
    const result = this.end.handshake();
    const pushed = this.#push();
    if (pushed < 0 && pushed !== -E.EAGAIN) return pushed;
    if (result !== 1) return outcome(result) || -E.ECONNRESET;
    this.#failure = this.#check?.(this.end);
    if (this.#failure !== undefined) return -E.EACCES;
    this.#isGreeted = true;
    return 0;
  }

  send(address: number, length: number): number {
    const wrote = this.sendMore(address, length);
    if (wrote > 0) this.#push();
    return wrote;
  }

  sendMore(address: number, length: number): number {
    const ready = this.#makeRoom();
    if (ready < 0) return ready;
    const wrote = this.end.write(address, length);
    return wrote > 0 ? wrote : outcome(wrote) || -E.EPIPE;
  }

  sendBoth(first: number, firstLength: number, second: number, secondLength: number): number {
    const wrote = this.sendMore(first, firstLength);
    if (wrote < firstLength) {
      if (wrote > 0) this.#push();
      return wrote;
    }
    const rest = this.send(second, secondLength);
    if (rest > 0) return wrote + rest;
    this.#push();
    return rest === -E.EAGAIN ? wrote : rest;
  }

  sendFile(fd: number, offset: number, length: number): number {
    const ready = this.#makeRoom();
    if (ready < 0) return ready;
    const room = fileRoom();
    const got = pread(fd, room.address, Math.min(room.size, length), offset);
    return got > 0 ? this.send(room.address, got) : got;
  }

  flush(): number {
    return this.#push();
  }

  untaken(): number {
    return unsentBytes(this.fd) + this.#encrypted;
  }

  close(): void {
    this.end.free();
    close(this.fd);
  }

  /** Sees to it that a step can be encrypted: 0, -EAGAIN where it cannot be now, or -errno. */
  #makeRoom(): number {
    if (!this.#isGreeted) {
      const result = this.shake();
      if (result < 0) return result;
    }
    if (this.end.hasRoom) return 0;
    const pushed = this.#push();
    return this.end.hasRoom ? 0 : pushed;
  }

  /** Sends what is encrypted; 0 once all has gone, -EAGAIN, or another -errno. */
  #push(): number {
    for (let length = this.end.look(); length > 0; length = this.end.look()) {
      const sent = send(this.fd, this.end.outgoingAddress, length, 0);
      if (sent < 0 && sent !== -E.EINTR) {
        this.#encrypted = this.end.outgoing;
        return sent;
      }
      if (sent > 0) this.end.sent(sent);
    }
    this.#encrypted = 0;
    return 0;
  }
}

/** A result of TlsEnd's as a channel says it: 0 at the end, or -errno. */
function outcome(result: number): number {
  if (result === TLS_WAITS) return -E.EAGAIN;
  return result === TLS_ENDED ? 0 : result === TLS_FAILED ? -E.EPROTO : result;
}

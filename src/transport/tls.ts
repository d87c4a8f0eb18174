/**
 * A connection by TLS 1.3, both sides of which show certificates. Data is encrypted from where
 * it lies into a buffer of OpenSSL's, which is sent from; and decrypted to where it is wanted.
 */
import { E } from "../sys/errno.ts";
import { pread } from "../sys/io.ts";
import { close } from "../sys/open.ts";
import { TLS_ENDED, TLS_FAILED, TLS_WAITS, type TlsEnd } from "../sys/openssl/end.ts";
import { recv, send, unsentBytes } from "../sys/socket.ts";
import { type Channel, fileRoom } from "./channel.ts";

/** From so many bytes on more may have come than were taken. */
const TAKE_AGAIN = 16 * 1024;

/** What a handshake needs of who makes it. */
export interface Greeting {
  /** What is wrong with who was met; undefined for nothing. */
  check(end: TlsEnd): string | undefined;
  /** For people, what OpenSSL calls `reason`. */
  explain(reason: string): string;
}

export class TlsChannel implements Channel {
  readonly isPlain = false;
  readonly fd: number;
  readonly end: TlsEnd;
  /** Encrypted bytes that the socket has not taken. */
  #encrypted = 0;
  #isGreeted: boolean;
  /** Whether something may have been received that has not been decrypted for want of room. */
  #hasUnread: boolean;
  /** What the last attempt to decrypt came to. */
  #outcome = -E.EAGAIN;
  readonly #greeting: Greeting | undefined;
  #failure: string | undefined;

  /** `greeting`, for one whose handshake is still to be made: until then nothing is taken to be sent. */
  constructor(fd: number, end: TlsEnd, greeting?: Greeting) {
    this.fd = fd;
    this.end = end;
    this.#greeting = greeting;
    this.#isGreeted = greeting === undefined;
    this.#hasUnread = this.#isGreeted;
  }

  get failure(): string | undefined {
    const { failure } = this.end;
    if (this.#failure !== undefined || failure === undefined) return this.#failure;
    return this.#greeting?.explain(failure) ?? failure;
  }

  get held(): number {
    return this.#encrypted;
  }

  get hasHeld(): boolean {
    return this.#hasUnread;
  }

  receive(address: number, room: number): number {
    if (!this.#isGreeted) {
      const result = this.shake();
      if (result < 0) return result;
    }
    let got = this.#hasUnread ? this.#decrypt(address, room) : 0;
    while (got < room && this.#outcome === -E.EAGAIN) {
      const taken = this.#take();
      // What there is goes first: the end, or an error, is found again.
      if (taken <= 0) return got > 0 ? got : taken;
      got += this.#decrypt(address + got, room - got);
      if (taken < TAKE_AGAIN) break;
    }
    return got > 0 ? got : this.#outcome;
  }

  /** Decrypts what was received, as far as there are whole records and there is room: how much. */
  #decrypt(address: number, room: number): number {
    let got = 0;
    while (got < room) {
      const part = this.end.read(address + got, room - got);
      if (part <= 0) {
        this.#hasUnread = false;
        this.#outcome = outcome(part);
        // What TLS itself has to say to what was read.
        if (this.end.outgoing > 0) this.#push();
        return got;
      }
      got += part;
    }
    this.#hasUnread = true;
    return got;
  }

  /** Receives what there is: how many bytes, 0 at the end, or -errno. */
  #take(): number {
    const room = this.end.room();
    const got = recv(this.fd, this.end.place, room);
    if (got > 0) this.end.received(got);
    return got;
  }

  /** Goes on with the handshake: 0 once it is done, or -errno. */
  shake(): number {
    let result = this.end.handshake();
    while (result === TLS_WAITS) {
      this.#push();
      const taken = this.#take();
      if (taken === -E.EAGAIN) break;
      if (taken <= 0) return taken === 0 ? -E.ECONNRESET : taken;
      result = this.end.handshake();
    }
    const pushed = this.#push();
    if (pushed < 0 && pushed !== -E.EAGAIN) return pushed;
    if (result !== 1) return outcome(result) || -E.ECONNRESET;
    this.#failure = this.#greeting?.check(this.end);
    if (this.#failure !== undefined) return -E.EACCES;
    this.#isGreeted = true;
    // It may have said more already.
    this.#hasUnread = true;
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
      const sent = send(this.fd, this.end.place, length, 0);
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

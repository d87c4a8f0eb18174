/**
 * One end of a TLS connection, between a transport and its socket. It may be handed to
 * another thread by its address; one at a time may use it.
 */
import { CString, type Pointer } from "bun:ffi";
import { allocate, free, getWord64 } from "../memory.ts";
import type { TlsContext } from "./context.ts";
import { lib, verifyError } from "./library.ts";
import {
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  SSL_KEY_UPDATE_NOT_REQUESTED,
  X509_V_OK,
} from "./numbers.ts";

/**
 * What was received and is not decrypted. OpenSSL's own reading ahead would move all that it
 * has for each record (ssl3_read_n); without it, it would call recv(2) twice for each.
 */
const READ_BUFFER_BYTES = 128 * 1024;
/** Room for encrypted bytes that wait to be sent: two steps of TlsEnd.send and what TLS adds. */
const WRITE_BUFFER_BYTES = 160 * 1024;
/** Bytes encrypted in one step. */
const STEP_BYTES = 64 * 1024;
/** What STEP_BYTES may grow to: header, type and tag of each record, and a key update. */
const STEP_ROOM = STEP_BYTES + 1024;
/** Steps after which a new key is taken: AES-GCM's bound is 2^24.5 records (RFC 8446, 5.5). */
const STEPS_OF_KEY = 1 << 21;

/** Results of TlsEnd's calls that are no counts. */
export const TLS_WAITS = -1;
export const TLS_ENDED = 0;
export const TLS_FAILED = -2;

/** BIO_nread's pointers, one at a time. */
const out = allocate(16);
/** Where the outgoing half of the pair is kept with the connection (ex_data of its own number 0). */
const PAIR_INDEX = 0;

/** One end of a TLS connection over a non-blocking socket: an SSL. */
export class TlsEnd {
  readonly address: number;
  /**
   * The outer half of the pair whose inner one OpenSSL has: what it encrypts comes out of it,
   * what was received goes in.
   */
  readonly #outer: number;
  #steps = 0;
  /** Why it failed, for people. */
  failure: string | undefined;

  private constructor(address: number, outer: number) {
    this.address = address;
    this.#outer = outer;
  }

  /** Begins one, whose handshake is to be made. */
  static begin(context: TlsContext): TlsEnd {
    const ssl = lib();
    const address = Number(ssl.SSL_new(context.address));
    if (address === 0) throw new Error("OpenSSL cannot make a connection");
    const [inner, outer] = [out.address, out.address + 8];
    if (ssl.BIO_new_bio_pair(inner, WRITE_BUFFER_BYTES, outer, READ_BUFFER_BYTES) !== 1) {
      ssl.SSL_free(address);
      throw new Error("OpenSSL cannot make a buffer");
    }
    const [bio, other] = [getWord64(out.words, 0), getWord64(out.words, 2)];
    ssl.SSL_set_bio(address, bio, bio);
    ssl.SSL_set_ex_data(address, PAIR_INDEX, other);
    if (context.side === "server") ssl.SSL_set_accept_state(address);
    else ssl.SSL_set_connect_state(address);
    return new TlsEnd(address, other);
  }

  /** The one that another thread has handed over. */
  static at(address: number): TlsEnd {
    return new TlsEnd(address, Number(lib().SSL_get_ex_data(address, PAIR_INDEX)));
  }

  /** Goes on with the handshake: 1 once it is done, TLS_WAITS or TLS_FAILED. */
  handshake(): number {
    const ssl = lib();
    const result = ssl.SSL_do_handshake(this.address);
    if (result !== 1) return this.#outcome(result);
    // What was tried in vain on the way would be taken for the failure of what comes next.
    ssl.ERR_clear_error();
    return 1;
  }

  /** Decrypts up to `room` bytes to `address`: how many, TLS_WAITS, TLS_ENDED or TLS_FAILED. */
  read(address: number, room: number): number {
    const ssl = lib();
    const got = ssl.SSL_read(this.address, address, room);
    return got > 0 ? got : this.#outcome(got);
  }

  /** How many bytes may be put at `place`, of what is received. */
  room(): number {
    return Math.max(0, lib().BIO_nwrite0(this.#outer, out.address));
  }

  /** Where `room` has found room, or `look` bytes. */
  get place(): number {
    return getWord64(out.words, 0);
  }

  /** `length` bytes were put there. */
  received(length: number): void {
    lib().BIO_nwrite(this.#outer, out.address, length);
  }

  /** Whether `write` takes a step now. */
  get hasRoom(): boolean {
    return WRITE_BUFFER_BYTES - this.outgoing >= STEP_ROOM;
  }

  /** Encrypts some of `length` bytes at `address`, needs `hasRoom`: how many, or TLS_FAILED. */
  write(address: number, length: number): number {
    const ssl = lib();
    if (++this.#steps === STEPS_OF_KEY) {
      this.#steps = 0;
      ssl.SSL_key_update(this.address, SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    const wrote = ssl.SSL_write(this.address, address, Math.min(length, STEP_BYTES));
    return wrote > 0 ? wrote : this.#outcome(wrote);
  }

  /** Encrypted bytes that wait to be sent. */
  get outgoing(): number {
    return Number(lib().BIO_ctrl_pending(this.#outer));
  }

  /** How many encrypted bytes lie at `place`. */
  look(): number {
    return Math.max(0, lib().BIO_nread0(this.#outer, out.address));
  }

  /** `length` bytes were sent. */
  sent(length: number): void {
    lib().BIO_nread(this.#outer, out.address, length);
  }

  /** The peer's certificate, DER; undefined where it has shown none. */
  certificate(): Buffer | undefined {
    const ssl = lib();
    const x509 = Number(ssl.SSL_get1_peer_certificate(this.address));
    if (x509 === 0) return undefined;
    const length = ssl.i2d_X509(x509, 0);
    const region = allocate(Math.max(1, length));
    out.words[0] = region.address % 2 ** 32;
    out.words[1] = Math.floor(region.address / 2 ** 32);
    ssl.i2d_X509(x509, out.address);
    ssl.X509_free(x509);
    const der = Buffer.from(region.bytes.subarray(0, length));
    free(region);
    return der;
  }

  free(): void {
    const ssl = lib();
    // The pair's inner half goes with the connection.
    ssl.SSL_free(this.address);
    ssl.BIO_free(this.#outer);
  }

  #outcome(result: number): number {
    const ssl = lib();
    const kind = ssl.SSL_get_error(this.address, result);
    if (kind === SSL_ERROR_WANT_READ) return TLS_WAITS;
    if (kind === SSL_ERROR_ZERO_RETURN) return TLS_ENDED;
    const code = ssl.ERR_get_error();
    const verified = Number(ssl.SSL_get_verify_result(this.address));
    if (verified !== X509_V_OK) this.failure = verifyError(verified);
    else if (Number(code) !== 0) {
      const reason = ssl.ERR_reason_error_string(code);
      this.failure = reason === null ? `error ${code}` : new CString(reason as Pointer).toString();
    }
    ssl.ERR_clear_error();
    // Without anything to say the connection has just ended.
    return this.failure === undefined ? TLS_ENDED : TLS_FAILED;
  }
}

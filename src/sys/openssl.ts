/**
 * TLS 1.3 by OpenSSL's libssl (Debian: libssl3), loaded when it is first used. Objects are
 * plain addresses: a connection may be handed to another thread, one at a time may use it.
 */
import { CString, dlopen, type Pointer } from "bun:ffi";
import { cstring } from "./cstring.ts";
import { addr, i32, i64, u64 } from "./libc.ts";
import { allocate, free, getWord64 } from "./memory.ts";
import {
  SSL_CTRL_EXTRA_CHAIN_CERT,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  SSL_KEY_UPDATE_NOT_REQUESTED,
  SSL_OP_IGNORE_UNEXPECTED_EOF,
  SSL_SESS_CACHE_OFF,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  TLS1_3_VERSION,
  X509_V_ERR_UNABLE_TO_GET_CRL,
  X509_V_ERR_UNSPECIFIED,
  X509_V_FLAG_CRL_CHECK,
  X509_V_OK,
} from "./opensslnumbers.ts";

const LIBSSL = "libssl.so.3";
const LIBCRYPTO = "libcrypto.so.3";

/** Suites of TLS 1.3 in our order: the first is fastest with AES instructions. */
const SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
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

const SSL_SYMBOLS = {
  TLS_server_method: { args: [], returns: addr },
  TLS_client_method: { args: [], returns: addr },
  SSL_CTX_new: { args: [addr], returns: addr },
  SSL_CTX_free: { args: [addr], returns: "void" },
  SSL_CTX_ctrl: { args: [addr, i32, i64, addr], returns: i64 },
  SSL_CTX_set_options: { args: [addr, u64], returns: u64 },
  SSL_CTX_set_ciphersuites: { args: [addr, addr], returns: i32 },
  SSL_CTX_set_num_tickets: { args: [addr, u64], returns: i32 },
  SSL_CTX_set_verify: { args: [addr, i32, addr], returns: "void" },
  SSL_CTX_use_certificate: { args: [addr, addr], returns: i32 },
  SSL_CTX_use_PrivateKey: { args: [addr, addr], returns: i32 },
  SSL_CTX_check_private_key: { args: [addr], returns: i32 },
  SSL_CTX_get_cert_store: { args: [addr], returns: addr },
  SSL_new: { args: [addr], returns: addr },
  SSL_free: { args: [addr], returns: "void" },
  SSL_set_bio: { args: [addr, addr, addr], returns: "void" },
  SSL_set_ex_data: { args: [addr, i32, addr], returns: i32 },
  SSL_get_ex_data: { args: [addr, i32], returns: addr },
  SSL_set_accept_state: { args: [addr], returns: "void" },
  SSL_set_connect_state: { args: [addr], returns: "void" },
  SSL_do_handshake: { args: [addr], returns: i32 },
  SSL_read: { args: [addr, addr, i32], returns: i32 },
  SSL_write: { args: [addr, addr, i32], returns: i32 },
  SSL_key_update: { args: [addr, i32], returns: i32 },
  SSL_get_error: { args: [addr, i32], returns: i32 },
  SSL_get_verify_result: { args: [addr], returns: i64 },
  SSL_get1_peer_certificate: { args: [addr], returns: addr },
  SSL_get_peer_cert_chain: { args: [addr], returns: addr },
} as const;

const CRYPTO_SYMBOLS = {
  BIO_new_mem_buf: { args: [addr, i32], returns: addr },
  BIO_new_bio_pair: { args: [addr, u64, addr, u64], returns: i32 },
  BIO_nread0: { args: [addr, addr], returns: i32 },
  BIO_nread: { args: [addr, addr, i32], returns: i32 },
  BIO_nwrite0: { args: [addr, addr], returns: i32 },
  BIO_nwrite: { args: [addr, addr, i32], returns: i32 },
  BIO_ctrl_pending: { args: [addr], returns: u64 },
  BIO_free: { args: [addr], returns: i32 },
  PEM_read_bio_X509: { args: [addr, addr, addr, addr], returns: addr },
  PEM_read_bio_X509_CRL: { args: [addr, addr, addr, addr], returns: addr },
  PEM_read_bio_PrivateKey: { args: [addr, addr, addr, addr], returns: addr },
  EVP_PKEY_free: { args: [addr], returns: "void" },
  X509_get_subject_name: { args: [addr], returns: addr },
  X509_CRL_get_issuer: { args: [addr], returns: addr },
  X509_NAME_cmp: { args: [addr, addr], returns: i32 },
  X509_free: { args: [addr], returns: "void" },
  X509_CRL_free: { args: [addr], returns: "void" },
  X509_STORE_add_cert: { args: [addr, addr], returns: i32 },
  X509_STORE_add_crl: { args: [addr, addr], returns: i32 },
  X509_STORE_set_flags: { args: [addr, u64], returns: i32 },
  X509_STORE_CTX_new: { args: [], returns: addr },
  X509_STORE_CTX_init: { args: [addr, addr, addr, addr], returns: i32 },
  X509_STORE_CTX_set_default: { args: [addr, addr], returns: i32 },
  X509_STORE_CTX_set_flags: { args: [addr, u64], returns: "void" },
  X509_STORE_CTX_get_error: { args: [addr], returns: i32 },
  X509_STORE_CTX_free: { args: [addr], returns: "void" },
  X509_verify_cert: { args: [addr], returns: i32 },
  X509_verify_cert_error_string: { args: [i64], returns: "ptr" },
  i2d_X509: { args: [addr, addr], returns: i32 },
  ERR_get_error: { args: [], returns: u64 },
  ERR_clear_error: { args: [], returns: "void" },
  ERR_reason_error_string: { args: [u64], returns: "ptr" },
} as const;

function load() {
  try {
    const ssl = dlopen(LIBSSL, SSL_SYMBOLS).symbols;
    return { ...ssl, ...dlopen(LIBCRYPTO, CRYPTO_SYMBOLS).symbols };
  } catch {
    throw new Error(`Cannot load ${LIBSSL}, which TLS needs: install Debian's package libssl3`);
  }
}

let loaded: ReturnType<typeof load> | undefined;

function lib(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** What one side shows, and whom it believes; all PEM. */
export interface Credentials {
  readonly key: string;
  /** Its own, and those of authorities between it and one that the peer knows. */
  readonly certificates: readonly string[];
  readonly authorities: readonly string[];
  /** Authorities' lists of revoked certificates; of those without one nothing is revoked. */
  readonly revocations: readonly string[];
}

export type Side = "client" | "server";

/** Reads one object of a PEM text; throws a sentence that does not repeat the text. */
function fromPem(
  text: string,
  what: string,
  reader: (bio: number, out: number, callback: number, argument: number) => number | bigint,
): number {
  const bytes = Buffer.from(text);
  const region = allocate(Math.max(1, bytes.length));
  region.bytes.set(bytes);
  const bio = Number(lib().BIO_new_mem_buf(region.address, bytes.length));
  const object = Number(reader(bio, 0, 0, 0));
  lib().BIO_free(bio);
  // It may have been a key.
  region.bytes.fill(0);
  free(region);
  lib().ERR_clear_error();
  if (object === 0) throw new Error(`${what} cannot be read`);
  return object;
}

/** What connections of one side have in common: an SSL_CTX. */
export class TlsContext {
  readonly address: number;
  readonly side: Side;
  /** Whether some authorities have lists and others none: OpenSSL's handshake cannot look at them then. */
  #looksAfterwards = false;

  /** Throws a sentence where the credentials are of no use. */
  constructor(side: Side, credentials: Credentials) {
    const ssl = lib();
    this.side = side;
    const method = side === "server" ? ssl.TLS_server_method() : ssl.TLS_client_method();
    const context = Number(ssl.SSL_CTX_new(method));
    if (context === 0) throw new Error("OpenSSL cannot make a context");
    this.address = context;
    try {
      this.#configure(credentials);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  #configure(credentials: Credentials): void {
    const ssl = lib();
    const { address } = this;
    ssl.SSL_CTX_ctrl(address, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, 0);
    // A connection that breaks has just ended: frames tell their lengths, sessions go on.
    ssl.SSL_CTX_set_options(address, SSL_OP_IGNORE_UNEXPECTED_EOF);
    // Without resumption each connection shows its certificate, which may have been revoked.
    ssl.SSL_CTX_ctrl(address, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, 0);
    ssl.SSL_CTX_set_num_tickets(address, 0);
    ssl.SSL_CTX_set_ciphersuites(address, cstring(SUITES));
    ssl.SSL_CTX_set_verify(address, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, 0);
    this.#show(credentials);
    this.#believe(credentials);
  }

  #show({ certificates, key }: Credentials): void {
    const ssl = lib();
    certificates.forEach((pem, i) => {
      const x509 = fromPem(pem, "The certificate", ssl.PEM_read_bio_X509);
      // The context takes one that is added over, and keeps another reference of its own.
      if (i > 0) ssl.SSL_CTX_ctrl(this.address, SSL_CTRL_EXTRA_CHAIN_CERT, 0, x509);
      else {
        ssl.SSL_CTX_use_certificate(this.address, x509);
        ssl.X509_free(x509);
      }
    });
    const own = fromPem(key, "The key", ssl.PEM_read_bio_PrivateKey);
    ssl.SSL_CTX_use_PrivateKey(this.address, own);
    ssl.EVP_PKEY_free(own);
    if (ssl.SSL_CTX_check_private_key(this.address) === 1) return;
    ssl.ERR_clear_error();
    throw new Error("The key is not the certificate's");
  }

  #believe({ authorities, revocations }: Credentials): void {
    const ssl = lib();
    const store = ssl.SSL_CTX_get_cert_store(this.address);
    const known = authorities.map((pem) =>
      fromPem(pem, "An authority's certificate", ssl.PEM_read_bio_X509),
    );
    const lists = revocations.map((pem) =>
      fromPem(pem, "The list of revoked certificates", ssl.PEM_read_bio_X509_CRL),
    );
    for (const x509 of known) ssl.X509_STORE_add_cert(store, x509);
    for (const list of lists) ssl.X509_STORE_add_crl(store, list);
    const isAllListed = known.every((x509) => {
      const name = ssl.X509_get_subject_name(x509);
      return lists.some((list) => ssl.X509_NAME_cmp(name, ssl.X509_CRL_get_issuer(list)) === 0);
    });
    for (const x509 of known) ssl.X509_free(x509);
    for (const list of lists) ssl.X509_CRL_free(list);
    if (isAllListed) ssl.X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    else this.#looksAfterwards = lists.length > 0;
  }

  /** Why a list that the handshake has not looked at forbids `end`'s peer; undefined where none does. */
  revocationOf(end: TlsEnd): string | undefined {
    if (!this.#looksAfterwards) return undefined;
    const error = this.#verify(end, X509_V_FLAG_CRL_CHECK);
    return error === X509_V_OK || error === X509_V_ERR_UNABLE_TO_GET_CRL
      ? undefined
      : verifyError(error);
  }

  /** Why the certificate that `end`'s peer has shown would not do now; undefined where it would. */
  refusalOf(end: TlsEnd): string | undefined {
    const error = this.#verify(end, 0);
    return error === X509_V_OK ? this.revocationOf(end) : verifyError(error);
  }

  /** Verifies the peer's certificate once more, with further flags X509_V_FLAG_*: X509_V_OK or X509_V_ERR_*. */
  #verify(end: TlsEnd, flags: number): number {
    const ssl = lib();
    const x509 = Number(ssl.SSL_get1_peer_certificate(end.address));
    if (x509 === 0) return X509_V_ERR_UNSPECIFIED;
    const check = ssl.X509_STORE_CTX_new();
    const chain = ssl.SSL_get_peer_cert_chain(end.address);
    ssl.X509_STORE_CTX_init(check, ssl.SSL_CTX_get_cert_store(this.address), x509, chain);
    ssl.X509_STORE_CTX_set_default(
      check,
      cstring(this.side === "server" ? "ssl_client" : "ssl_server"),
    );
    ssl.X509_STORE_CTX_set_flags(check, flags);
    const isValid = ssl.X509_verify_cert(check) === 1;
    const error = ssl.X509_STORE_CTX_get_error(check);
    ssl.X509_STORE_CTX_free(check);
    ssl.X509_free(x509);
    ssl.ERR_clear_error();
    return isValid ? X509_V_OK : error;
  }

  free(): void {
    lib().SSL_CTX_free(this.address);
  }
}

function verifyError(code: number): string {
  return new CString(lib().X509_verify_cert_error_string(code) as Pointer).toString();
}

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

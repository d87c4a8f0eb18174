/** What connections of one side have in common: its certificate, and whom it believes. */
import { cstring } from "../cstring.ts";
import { allocate, free } from "../memory.ts";
import type { TlsEnd } from "./end.ts";
import { lib, verifyError } from "./library.ts";
import {
  SSL_CTRL_EXTRA_CHAIN_CERT,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_OP_IGNORE_UNEXPECTED_EOF,
  SSL_SESS_CACHE_OFF,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  TLS1_3_VERSION,
  X509_V_ERR_UNABLE_TO_GET_CRL,
  X509_V_ERR_UNSPECIFIED,
  X509_V_FLAG_CRL_CHECK,
  X509_V_OK,
} from "./numbers.ts";

/** Suites of TLS 1.3 in our order: the first is fastest with AES instructions. */
const SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

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

/** An SSL_CTX. */
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

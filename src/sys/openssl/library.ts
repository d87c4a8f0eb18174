/**
 * OpenSSL's libssl and libcrypto (Debian: libssl3), loaded when they are first used. Objects
 * are plain addresses.
 */
import { CString, dlopen, type Pointer } from "bun:ffi";
import { addr, i32, i64, u64 } from "../libc.ts";

const LIBSSL = "libssl.so.3";
const LIBCRYPTO = "libcrypto.so.3";

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

/** The functions of both; throws a sentence where they are not installed. */
export function lib(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** What is wrong with a certificate: X509_V_ERR_*, for people. */
export function verifyError(code: number): string {
  return new CString(lib().X509_verify_cert_error_string(code) as Pointer).toString();
}

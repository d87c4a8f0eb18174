/**
 * Keys, certificates (RFC 5280) and lists of revoked ones, made by OpenSSL's libcrypto.
 * Everything goes in and out as PEM text.
 */
import { dlopen } from "bun:ffi";
import { cstring } from "./cstring.ts";
import { addr, i32, i64, u64 } from "./libc.ts";
import { allocate, free } from "./memory.ts";
import {
  EVP_PKEY_EC,
  MBSTRING_UTF8,
  NID_basic_constraints,
  NID_ext_key_usage,
  NID_key_usage,
  NID_subject_alt_name,
  NID_X9_62_prime256v1,
  X509_CRL_VERSION_2,
  X509_VERSION_3,
} from "./openssl/numbers.ts";

const SYMBOLS = {
  EVP_PKEY_CTX_new_id: { args: [i32, addr], returns: addr },
  EVP_PKEY_CTX_free: { args: [addr], returns: "void" },
  EVP_PKEY_keygen_init: { args: [addr], returns: i32 },
  EVP_PKEY_CTX_set_ec_paramgen_curve_nid: { args: [addr, i32], returns: i32 },
  EVP_PKEY_keygen: { args: [addr, addr], returns: i32 },
  EVP_PKEY_free: { args: [addr], returns: "void" },
  EVP_sha256: { args: [], returns: addr },
  BIO_new: { args: [addr], returns: addr },
  BIO_s_mem: { args: [], returns: addr },
  BIO_read: { args: [addr, addr, i32], returns: i32 },
  BIO_write: { args: [addr, addr, i32], returns: i32 },
  BIO_free: { args: [addr], returns: i32 },
  PEM_read_bio_X509: { args: [addr, addr, addr, addr], returns: addr },
  PEM_read_bio_PrivateKey: { args: [addr, addr, addr, addr], returns: addr },
  PEM_write_bio_X509: { args: [addr, addr], returns: i32 },
  PEM_write_bio_X509_CRL: { args: [addr, addr], returns: i32 },
  PEM_write_bio_PKCS8PrivateKey: {
    args: [addr, addr, addr, addr, i32, addr, addr],
    returns: i32,
  },
  ASN1_INTEGER_new: { args: [], returns: addr },
  ASN1_INTEGER_set_uint64: { args: [addr, u64], returns: i32 },
  ASN1_INTEGER_free: { args: [addr], returns: "void" },
  ASN1_TIME_set: { args: [addr, i64], returns: addr },
  ASN1_TIME_free: { args: [addr], returns: "void" },
  X509_new: { args: [], returns: addr },
  X509_free: { args: [addr], returns: "void" },
  X509_set_version: { args: [addr, i64], returns: i32 },
  X509_set_serialNumber: { args: [addr, addr], returns: i32 },
  X509_set1_notBefore: { args: [addr, addr], returns: i32 },
  X509_set1_notAfter: { args: [addr, addr], returns: i32 },
  X509_set_pubkey: { args: [addr, addr], returns: i32 },
  X509_get_subject_name: { args: [addr], returns: addr },
  X509_set_issuer_name: { args: [addr, addr], returns: i32 },
  X509_NAME_add_entry_by_txt: { args: [addr, addr, i32, addr, i32, i32, i32], returns: i32 },
  X509V3_EXT_nconf_nid: { args: [addr, addr, i32, addr], returns: addr },
  X509_EXTENSION_free: { args: [addr], returns: "void" },
  X509_add_ext: { args: [addr, addr, i32], returns: i32 },
  X509_sign: { args: [addr, addr, addr], returns: i32 },
  X509_CRL_new: { args: [], returns: addr },
  X509_CRL_free: { args: [addr], returns: "void" },
  X509_CRL_set_version: { args: [addr, i64], returns: i32 },
  X509_CRL_set_issuer_name: { args: [addr, addr], returns: i32 },
  X509_CRL_set1_lastUpdate: { args: [addr, addr], returns: i32 },
  X509_CRL_set1_nextUpdate: { args: [addr, addr], returns: i32 },
  X509_CRL_add0_revoked: { args: [addr, addr], returns: i32 },
  X509_CRL_sort: { args: [addr], returns: i32 },
  X509_CRL_sign: { args: [addr, addr, addr], returns: i32 },
  X509_REVOKED_new: { args: [], returns: addr },
  X509_REVOKED_set_serialNumber: { args: [addr, addr], returns: i32 },
  X509_REVOKED_set_revocationDate: { args: [addr, addr], returns: i32 },
  ERR_clear_error: { args: [], returns: "void" },
} as const;

function load() {
  try {
    return dlopen("libcrypto.so.3", SYMBOLS).symbols;
  } catch {
    throw new Error("Cannot load libcrypto.so.3: install Debian's package libssl3");
  }
}

let loaded: ReturnType<typeof load> | undefined;

function lib(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

const TEXT_MAX = 1 << 20;

/** What a certificate is for. */
export type Usage = "authority" | "client" | "server";

const KEY_USAGE: Readonly<Record<Usage, string>> = {
  authority: "critical,keyCertSign,cRLSign",
  client: "critical,digitalSignature",
  server: "critical,digitalSignature",
};
const EXT_KEY_USAGE: Readonly<Record<Usage, string | undefined>> = {
  authority: undefined,
  client: "clientAuth",
  server: "serverAuth",
};

/** A key and its certificate, both PEM. */
export interface KeyPair {
  readonly key: string;
  readonly certificate: string;
}

export interface CertificateOptions {
  /** For people: the subject's common name, at most 64 characters. */
  readonly commonName: string;
  /** The name that counts; none for an authority. Without commas and newlines. */
  readonly uri?: string;
  readonly usage: Usage;
  /** Positive, below 2^53. */
  readonly serial: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Who signs; itself where it is left out. */
  readonly issuer?: KeyPair;
}

export interface RevocationOptions {
  readonly issuer: KeyPair;
  readonly serials: readonly number[];
  readonly lastUpdate: Date;
  readonly nextUpdate: Date;
}

/** Whatever is to be freed when a piece of work is over. */
class Owned {
  readonly #frees: (() => void)[] = [];

  /** `object` from now on; throws where there is none. */
  take(object: number | bigint, release: (object: number) => void): number {
    const address = Number(object);
    if (address === 0) throw new Error("OpenSSL cannot do that");
    this.#frees.push(() => release(address));
    return address;
  }

  free(): void {
    for (const release of this.#frees.reverse()) release();
    lib().ERR_clear_error();
  }
}

function withOwned<T>(work: (owned: Owned) => T): T {
  const owned = new Owned();
  try {
    return work(owned);
  } finally {
    owned.free();
  }
}

function must(result: number): void {
  if (result <= 0) throw new Error("OpenSSL cannot do that");
}

function newBio(owned: Owned): number {
  return owned.take(lib().BIO_new(lib().BIO_s_mem()), (bio) => lib().BIO_free(bio));
}

/** The text that `write` puts. */
function written(owned: Owned, write: (bio: number) => number): string {
  const bio = newBio(owned);
  must(write(bio));
  const room = allocate(TEXT_MAX);
  const length = lib().BIO_read(bio, room.address, room.size);
  const text = room.bytes.latin1Slice(0, Math.max(0, length));
  room.bytes.fill(0, 0, Math.max(0, length));
  free(room);
  return text;
}

function reading(owned: Owned, text: string): number {
  const bio = newBio(owned);
  const bytes = Buffer.from(text);
  const room = allocate(Math.max(1, bytes.length));
  room.bytes.set(bytes);
  must(lib().BIO_write(bio, room.address, bytes.length));
  room.bytes.fill(0);
  free(room);
  return bio;
}

function readKey(owned: Owned, pem: string): number {
  const key = lib().PEM_read_bio_PrivateKey(reading(owned, pem), 0, 0, 0);
  return owned.take(key, (object) => lib().EVP_PKEY_free(object));
}

function readCertificate(owned: Owned, pem: string): number {
  const x509 = lib().PEM_read_bio_X509(reading(owned, pem), 0, 0, 0);
  return owned.take(x509, (object) => lib().X509_free(object));
}

function newKey(owned: Owned): number {
  const c = lib();
  const context = owned.take(c.EVP_PKEY_CTX_new_id(EVP_PKEY_EC, 0), (object) =>
    c.EVP_PKEY_CTX_free(object),
  );
  must(c.EVP_PKEY_keygen_init(context));
  must(c.EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1));
  const out = allocate(8);
  try {
    must(c.EVP_PKEY_keygen(context, out.address));
    const key = Number(out.view.getBigUint64(0, true));
    return owned.take(key, (object) => c.EVP_PKEY_free(object));
  } finally {
    free(out);
  }
}

function time(owned: Owned, date: Date): number {
  const seconds = Math.floor(date.getTime() / 1000);
  return owned.take(lib().ASN1_TIME_set(0, seconds), (object) => lib().ASN1_TIME_free(object));
}

function serialNumber(owned: Owned, serial: number): number {
  const number = owned.take(lib().ASN1_INTEGER_new(), (object) => lib().ASN1_INTEGER_free(object));
  must(lib().ASN1_INTEGER_set_uint64(number, serial));
  return number;
}

function extend(owned: Owned, x509: number, nid: number, value: string | undefined): void {
  if (value === undefined) return;
  const extension = owned.take(lib().X509V3_EXT_nconf_nid(0, 0, nid, cstring(value)), (object) =>
    lib().X509_EXTENSION_free(object),
  );
  must(lib().X509_add_ext(x509, extension, -1));
}

function fill(owned: Owned, x509: number, options: CertificateOptions): void {
  const c = lib();
  const { usage, uri } = options;
  must(c.X509_set_version(x509, X509_VERSION_3));
  must(c.X509_set_serialNumber(x509, serialNumber(owned, options.serial)));
  must(c.X509_set1_notBefore(x509, time(owned, options.notBefore)));
  must(c.X509_set1_notAfter(x509, time(owned, options.notAfter)));
  const name = Number(c.X509_get_subject_name(x509));
  const text = cstring(options.commonName);
  must(c.X509_NAME_add_entry_by_txt(name, cstring("CN"), MBSTRING_UTF8, text, -1, -1, 0));
  extend(
    owned,
    x509,
    NID_basic_constraints,
    `critical,CA:${usage === "authority" ? "TRUE" : "FALSE"}`,
  );
  extend(owned, x509, NID_key_usage, KEY_USAGE[usage]);
  extend(owned, x509, NID_ext_key_usage, EXT_KEY_USAGE[usage]);
  extend(owned, x509, NID_subject_alt_name, uri === undefined ? undefined : `URI:${uri}`);
}

/** Makes a key (P-256) and a certificate for it. */
export function makeCertificate(options: CertificateOptions): KeyPair {
  return withOwned((owned) => {
    const c = lib();
    const key = newKey(owned);
    const x509 = owned.take(c.X509_new(), (object) => c.X509_free(object));
    fill(owned, x509, options);
    must(c.X509_set_pubkey(x509, key));
    const { issuer } = options;
    const signer = issuer === undefined ? x509 : readCertificate(owned, issuer.certificate);
    must(c.X509_set_issuer_name(x509, c.X509_get_subject_name(signer)));
    must(
      c.X509_sign(x509, issuer === undefined ? key : readKey(owned, issuer.key), c.EVP_sha256()),
    );
    return {
      key: written(owned, (bio) => c.PEM_write_bio_PKCS8PrivateKey(bio, key, 0, 0, 0, 0, 0)),
      certificate: written(owned, (bio) => c.PEM_write_bio_X509(bio, x509)),
    };
  });
}

/** Makes an authority's list of the certificates that it has revoked. */
export function makeRevocations(options: RevocationOptions): string {
  return withOwned((owned) => {
    const c = lib();
    const { issuer } = options;
    const list = owned.take(c.X509_CRL_new(), (object) => c.X509_CRL_free(object));
    must(c.X509_CRL_set_version(list, X509_CRL_VERSION_2));
    const signer = readCertificate(owned, issuer.certificate);
    must(c.X509_CRL_set_issuer_name(list, c.X509_get_subject_name(signer)));
    must(c.X509_CRL_set1_lastUpdate(list, time(owned, options.lastUpdate)));
    must(c.X509_CRL_set1_nextUpdate(list, time(owned, options.nextUpdate)));
    for (const serial of options.serials) {
      // The list's own from X509_CRL_add0_revoked on.
      const entry = Number(c.X509_REVOKED_new());
      must(c.X509_REVOKED_set_serialNumber(entry, serialNumber(owned, serial)));
      must(c.X509_REVOKED_set_revocationDate(entry, time(owned, options.lastUpdate)));
      must(c.X509_CRL_add0_revoked(list, entry));
    }
    must(c.X509_CRL_sort(list));
    must(c.X509_CRL_sign(list, readKey(owned, issuer.key), c.EVP_sha256()));
    return written(owned, (bio) => c.PEM_write_bio_X509_CRL(bio, list));
  });
}

/**
 * A client's identity: one file with lines of text (`server:`, `address:`), a key, its
 * certificate, and those of the authorities that its servers' certificates are of.
 */
import { X509Certificate } from "node:crypto";
import { statSync } from "node:fs";
import { type Credentials, TlsContext } from "../sys/openssl/context.ts";
import { TlsEnd } from "../sys/openssl/end.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { TlsChannel } from "../transport/tls.ts";
import { shownBy } from "./names.ts";
import { clientSentence } from "./refusals.ts";
import { CERTIFICATE, KEY, pemBlocks, readSecret } from "./secrets.ts";

export interface ClientIdentity {
  readonly credentials: Credentials;
  /** The name that the server's certificate must be for; any without it. */
  readonly server: string | undefined;
  /** Where the server is, as users write it. */
  readonly addresses: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Reads and checks an identity; throws a sentence without anything of the key. */
export function readIdentity(path: string): ClientIdentity {
  const text = readSecret(path);
  const [key] = pemBlocks(text, KEY);
  const all = pemBlocks(text, CERTIFICATE);
  const [own] = all;
  if (key === undefined || own === undefined) throw new Error(`${path} is no identity`);
  const isAuthority = (pem: string) => {
    const { subject, issuer } = new X509Certificate(pem);
    return subject === issuer;
  };
  const authorities = all.slice(1).filter(isAuthority);
  if (authorities.length === 0) throw new Error(`${path} has no certificate of an authority`);
  const { notBefore, notAfter } = shownBy(own);
  return {
    credentials: {
      key,
      certificates: all.filter((pem) => !authorities.includes(pem)),
      authorities,
      revocations: [],
    },
    server: /^server: (\S+)$/m.exec(text)?.[1],
    addresses: [...text.matchAll(/^address: (\S+)$/gm)].map(([, address]) => address as string),
    notBefore,
    notAfter,
  };
}

/** Where the file `path` says that its server is; throws a sentence. */
export function addressesIn(path: string): Address[] {
  const { addresses } = readIdentity(path);
  if (addresses.length > 0) return addresses.map(parseAddress);
  throw new Error(`${path} names no address of a server`);
}

interface Loaded {
  readonly version: string;
  readonly identity: ClientIdentity;
  readonly context: TlsContext;
}

/** Those of this thread, by their paths. */
const loaded = new Map<string, Loaded>();

/** Files are read again when they change: a renewed one is used from the next connection on. */
function load(path: string): Loaded {
  const { ino, mtimeMs, size } = statSync(path);
  const version = `${ino} ${mtimeMs} ${size}`;
  const known = loaded.get(path);
  if (known?.version === version) return known;
  const identity = readIdentity(path);
  const fresh = { version, identity, context: new TlsContext("client", identity.credentials) };
  // Connections keep what they need of the old one.
  known?.context.free();
  loaded.set(path, fresh);
  return fresh;
}

/** A connection over `fd` as the identity in the file `path`; throws a sentence. */
export function channelAs(path: string, fd: number): TlsChannel {
  const { identity, context } = load(path);
  const now = Date.now();
  if (now > identity.notAfter.getTime()) {
    throw new Error(`the identity ${path} has expired at ${identity.notAfter.toISOString()}`);
  }
  if (now < identity.notBefore.getTime()) {
    throw new Error(`the identity ${path} is not valid before ${identity.notBefore.toISOString()}`);
  }
  return new TlsChannel(fd, TlsEnd.begin(context), {
    check: (end) => wrongServer(identity, end),
    explain: clientSentence,
  });
}

function wrongServer({ server }: ClientIdentity, end: TlsEnd): string | undefined {
  const certificate = end.certificate();
  if (certificate === undefined) return "the server has shown no certificate";
  if (server === undefined) return undefined;
  const { uris } = shownBy(certificate);
  if (uris.includes(server)) return undefined;
  return `the server is ${uris.join(", ") || "nobody"}, not ${server}`;
}

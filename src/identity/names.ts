/**
 * Names of clients and servers: URIs in their certificates (SPIFFE's form). One that our own
 * authority has enrolled is known by its last part: `web1` is `spiffe://DOMAIN/client/web1`.
 */
import { X509Certificate } from "node:crypto";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const SPIFFE = /^spiffe:\/\/[a-z0-9][a-z0-9._-]{0,254}(\/[A-Za-z0-9._-]+)+$/;
const URI_MAX = 2048;

/** Whether `text` is what a client may be enrolled as. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Whether `text` is a name of another authority's. */
export function isSpiffeId(text: string): boolean {
  return text.length <= URI_MAX && SPIFFE.test(text);
}

export function clientUri(domain: string, name: string): string {
  return `spiffe://${domain}/client/${name}`;
}

export function serverUri(domain: string): string {
  return `spiffe://${domain}/server`;
}

/** What a certificate says of itself. */
export interface Shown {
  /** The URIs that it is for. */
  readonly uris: readonly string[];
  /** Upper-case hexadecimal. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Reads a certificate, DER or PEM. */
export function shownBy(certificate: Buffer | string): Shown {
  const {
    subjectAltName = "",
    serialNumber,
    validFrom,
    validTo,
  } = new X509Certificate(certificate);
  // What could be taken for more than one name is quoted, and so is none of ours.
  const uris = subjectAltName
    .split(", ")
    .flatMap((item) => /^URI:([^",\s]+)$/.exec(item)?.[1] ?? []);
  return {
    uris,
    serial: serialNumber,
    notBefore: new Date(validFrom),
    notAfter: new Date(validTo),
  };
}

/** Whether `certificate`, DER, is signed by the authority whose own is `authority`, PEM. */
export function isOf(certificate: Buffer, authority: string): boolean {
  return new X509Certificate(certificate).verify(new X509Certificate(authority).publicKey);
}

/** The name that the server at hand knows who shows `uris` by; undefined for none or several. */
export function nameOf(uris: readonly string[], domain: string): string | undefined {
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) return undefined;
  const own = clientUri(domain, "");
  if (!uri.startsWith(own)) return isSpiffeId(uri) ? uri : undefined;
  const name = uri.slice(own.length);
  return isName(name) ? name : undefined;
}

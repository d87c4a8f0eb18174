/** Our own authority: makes itself and a server's certificate, enrolls, renews and revokes clients. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { type KeyPair, makeCertificate, makeRevocations } from "../sys/x509.ts";
import type { IdentityDirectory, NameRule, Names } from "./directory.ts";
import { clientUri, isName, isSpiffeId, serverUri, shownBy } from "./names.ts";
import { CERTIFICATE, KEY, pemBlocks, readSecret, writeSecret } from "./secrets.ts";

const DAY_MS = 24 * 3600 * 1000;
/** Authority and server outlive their clients' certificates. */
const AUTHORITY_DAYS = 3650;
/** Clocks may differ by so much. */
const SKEW_MS = 3600 * 1000;

export interface Enrolment {
  readonly days: number;
  /** Where the client finds the server. */
  readonly addresses: readonly string[];
  readonly rule: Pick<NameRule, "exports" | "programs">;
}

export class Authority {
  readonly #directory: IdentityDirectory;

  constructor(directory: IdentityDirectory) {
    this.#directory = directory;
  }

  /** Makes the authority and the server's certificate where there is none. */
  begin(): void {
    const directory = this.#directory;
    directory.prepare();
    if (existsSync(directory.file("names.json"))) return;
    const label =
      hostname()
        .toLowerCase()
        .replace(/[^a-z0-9-]/g, "") || "host";
    const domain = `${label}-${randomBytes(4).toString("hex")}.qtfs`;
    const own = makeCertificate({
      commonName: `qtfs authority of ${label}`.slice(0, 64),
      usage: "authority",
      ...validity(AUTHORITY_DAYS),
    });
    writeSecret(directory.file("authority.key"), own.key + own.certificate);
    writeSecret(directory.file("authorities.pem"), own.certificate);
    const server = makeCertificate({
      commonName: `qtfs server ${label}`.slice(0, 64),
      uri: serverUri(domain),
      usage: "server",
      issuer: own,
      ...validity(AUTHORITY_DAYS),
    });
    writeSecret(directory.file("server.pem"), server.key + server.certificate);
    writeSecret(directory.file("revoked.pem"), revocations(own, []));
    directory.writeNames({ domain, authority: own.certificate, names: {}, revoked: [] });
  }

  /**
   * Lets `name` in from now on, and makes what its machine needs: the text of its file, or
   * undefined for a name of another authority's, which gives it its certificate.
   */
  enroll(name: string, enrolment: Enrolment): string | undefined {
    const known = this.#directory.names();
    if (Object.hasOwn(known.names, name)) {
      throw new Error(`${name} is enrolled already: renew it, or revoke it first`);
    }
    if (isSpiffeId(name)) {
      this.#write(known, name, enrolment.rule);
      return undefined;
    }
    if (!isName(name)) {
      throw new Error(
        `"${name}" is no name: letters, digits, dots, dashes, at most 63, or spiffe://…`,
      );
    }
    return this.#issue(known, name, enrolment);
  }

  /** Makes another certificate for `name`; the one it has stays good until it expires. */
  renew(name: string, days: number, addresses: readonly string[]): string {
    const known = this.#directory.names();
    const rule = ruleOf(known, name);
    if (rule.serial === undefined)
      throw new Error(`Another authority makes the certificates of ${name}`);
    return this.#issue(known, name, { days, addresses, rule });
  }

  /** Lets `name` in no more, by any certificate that it was given. */
  revoke(name: string): void {
    const known = this.#directory.names();
    const { serial } = ruleOf(known, name);
    const { [name]: _, ...names } = known.names;
    const revoked = serial === undefined ? known.revoked : [...known.revoked, serial];
    writeSecret(this.#directory.file("revoked.pem"), this.#list(revoked));
    this.#directory.writeNames({ ...known, names, revoked });
  }

  #list(revoked: readonly string[]): string {
    return revocations(
      this.#own(),
      revoked.map((serial) => Number.parseInt(serial, 16)),
    );
  }

  #own(): KeyPair {
    const path = this.#directory.file("authority.key");
    const text = readSecret(path);
    const [key] = pemBlocks(text, KEY);
    const [certificate] = pemBlocks(text, CERTIFICATE);
    if (key === undefined || certificate === undefined) throw new Error(`${path} is damaged`);
    return { key, certificate };
  }

  #issue(known: Names, name: string, { days, addresses, rule }: Enrolment): string {
    const own = this.#own();
    const made = makeCertificate({
      commonName: name,
      uri: clientUri(known.domain, name),
      usage: "client",
      issuer: own,
      ...validity(days),
    });
    const { serial, notAfter } = shownBy(made.certificate);
    const { exports, programs } = rule;
    this.#write(known, name, {
      serial,
      expires: notAfter.toISOString(),
      ...(exports && { exports }),
      ...(programs && { programs }),
    });
    const head = [
      `name: ${name}`,
      `server: ${serverUri(known.domain)}`,
      ...addresses.map((address) => `address: ${address}`),
    ];
    return `${head.join("\n")}\n${made.key}${made.certificate}${own.certificate}`;
  }

  #write(known: Names, name: string, rule: NameRule): void {
    this.#directory.writeNames({ ...known, names: { ...known.names, [name]: rule } });
  }
}

function ruleOf({ names }: Names, name: string): NameRule {
  const rule = Object.hasOwn(names, name) ? names[name] : undefined;
  if (rule === undefined) throw new Error(`${name} is not enrolled`);
  return rule;
}

/** Six random bytes: numbers that others cannot foresee, exact in JavaScript. */
function newSerial(): number {
  return randomBytes(6).readUIntBE(0, 6) + 1;
}

function validity(days: number) {
  const now = Date.now();
  return {
    serial: newSerial(),
    notBefore: new Date(now - SKEW_MS),
    notAfter: new Date(now + days * DAY_MS),
  };
}

function revocations(issuer: KeyPair, serials: readonly number[]): string {
  const { notBefore, notAfter } = validity(AUTHORITY_DAYS);
  return makeRevocations({ issuer, serials, lastUpdate: notBefore, nextUpdate: notAfter });
}

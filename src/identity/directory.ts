/**
 * What a server knows of identities, in a directory of its user's alone:
 *
 *     authority.key   our own authority's key and certificate, to enroll with; may be elsewhere
 *     authorities.pem certificates of those whose clients may come: our own and others'
 *     server.pem      the server's key and certificate, and any between it and an authority
 *     revoked.pem     our own authority's list of revoked certificates
 *     lists.pem       other authorities' lists; may be absent, and may lack those of some
 *     names.json      who may come, and what they may do
 */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { OPERATION_CLASSES, type OperationClass } from "../server/classes.ts";
import type { Credentials } from "../sys/openssl/context.ts";
import { CERTIFICATE, KEY, pemBlocks, REVOCATIONS, readSecret, writeSecret } from "./secrets.ts";

/** Where it is unless somebody says otherwise. */
export const DEFAULT_DIRECTORY = "/etc/qtfs/tls";

const OWNER_ALONE = 0o700;
const OTHERS = 0o077;

/** An export as a name may use it: one of the server's, or a directory beneath one. */
export interface NamedExport {
  readonly path: string;
  readonly readOnly: boolean;
  readonly allow: readonly OperationClass[];
}

/** What is known of a name. */
export interface NameRule {
  /** Serial number of its certificate, upper-case hexadecimal; absent where another authority makes them. */
  readonly serial?: string;
  readonly expires?: string;
  /** What it may attach to; all of the server's exports without it. */
  readonly exports?: readonly NamedExport[];
  /** Patterns of programs that it may run, of those that rexec-servers allow; none without it. */
  readonly programs?: readonly string[];
}

export interface Names {
  /** The trust domain of our own authority. */
  readonly domain: string;
  /** Its certificate, PEM: nobody else's is believed for a name of that domain. */
  readonly authority: string;
  readonly names: Readonly<Record<string, NameRule>>;
  /** Serial numbers that our own authority has revoked. */
  readonly revoked: readonly string[];
}

export class IdentityDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  get exists(): boolean {
    return existsSync(this.file("server.pem"));
  }

  /** Makes it, or checks that it is this user's or root's alone. */
  prepare(): void {
    mkdirSync(this.path, { recursive: true, mode: OWNER_ALONE });
    const { uid, mode } = lstatSync(this.path);
    const isOurs = uid === 0 || uid === process.geteuid?.();
    if (isOurs && (mode & OTHERS) === 0) return;
    throw new Error(`${this.path} must be this user's alone: chmod 700 ${this.path}`);
  }

  /** What the server shows and believes; throws a sentence where something is missing. */
  credentials(): Credentials {
    const own = readSecret(this.file("server.pem"));
    const [key] = pemBlocks(own, KEY);
    if (key === undefined) throw new Error(`${this.file("server.pem")} has no key`);
    const lists = [this.file("revoked.pem"), this.file("lists.pem")].filter((path) =>
      existsSync(path),
    );
    return {
      key,
      certificates: pemBlocks(own, CERTIFICATE),
      authorities: pemBlocks(readSecret(this.file("authorities.pem")), CERTIFICATE),
      revocations: lists.flatMap((path) => pemBlocks(readSecret(path), REVOCATIONS)),
    };
  }

  names(): Names {
    const path = this.file("names.json");
    const text = readSecret(path);
    const value: unknown = JSON.parse(text);
    if (isNames(value)) return value;
    throw new Error(`${path} is damaged`);
  }

  writeNames(names: Names): void {
    writeSecret(this.file("names.json"), `${JSON.stringify(names, null, 2)}\n`);
  }
}

/** The directory of identities: one that was asked for, or the default where there is one. */
export function findIdentities(wanted: string | undefined): string | undefined {
  const path = resolve(wanted ?? DEFAULT_DIRECTORY);
  return wanted !== undefined || new IdentityDirectory(path).exists ? path : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isNames(value: unknown): value is Names {
  if (
    !isObject(value) ||
    typeof value.domain !== "string" ||
    typeof value.authority !== "string" ||
    !isTexts(value.revoked)
  )
    return false;
  return isObject(value.names) && Object.values(value.names).every(isRule);
}

function isRule(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { serial, expires, exports, programs } = value;
  const isText = (one: unknown) => one === undefined || typeof one === "string";
  if (!isText(serial) || !isText(expires)) return false;
  if (programs !== undefined && !isTexts(programs)) return false;
  return exports === undefined || (Array.isArray(exports) && exports.every(isExport));
}

function isExport(value: unknown): boolean {
  if (!isObject(value) || typeof value.path !== "string") return false;
  const classes: readonly unknown[] = OPERATION_CLASSES;
  const { allow, readOnly } = value;
  return (
    typeof readOnly === "boolean" &&
    Array.isArray(allow) &&
    allow.every((one) => classes.includes(one))
  );
}

/**
 * The handshake's two messages, HELLO from the client and HELLO or GOODBYE from
 * the server, as CBOR maps. They are a stranger's bytes: every field is checked
 * here, by hand because this code is part of every thread and runs once.
 */
import { encode } from "cbor-x/encode";
import { EPOCH_MAX } from "./constants.ts";
import { ProtocolError } from "./error.ts";
import {
  HELLO_MAX,
  ITEMS_MAX,
  SLOTS_MAX,
  STREAM_CHUNK_MAX,
  STREAM_SPLICED_MAX,
  VERSION_MAX,
  VERSION_MIN,
} from "./limits.ts";
import { decodePlain } from "./plain.ts";

export const MAGIC = "qtfs";

const TEXT_MAX = 256;

/** What a machine says of itself. */
export interface Facts {
  build: string;
  arch: string;
  kernel: string;
  bootId: string;
  pageSize: number;
  pid: number;
}

const ROLES = ["mount", "rexec", "info", "streams"] as const;
/** What a connection is for. */
export type Role = (typeof ROLES)[number];

export interface ClientHello {
  versions: [oldest: number, newest: number];
  role: Role;
  capabilities: string[];
  /** 32 hexadecimal digits, chosen by the client; the same again to resume. */
  session: string;
  /** Whether the session is one that the server should have already. */
  resumes: boolean;
  /** Number of the session among those of the same id: one that went on without us is another. */
  epoch: number;
  /** EVENT frames (role streams: STREAM frames) of the session that the client has taken in. */
  events: number;
  /** Of a session of role streams, and of no other: the mount's session that it belongs to. */
  parent?: string;
  /** Over TCP and of role rexec: address and port of the client's own end, as `1.2.3.4:5` or `[::1]:5`. */
  from?: string;
  facts: Facts;
}

export interface ServerHello {
  version: number;
  capabilities: string[];
  slots: number;
  leaseMs: number;
  /** Whether the session goes on where it was; if not it is a new one, attached to nothing. */
  resumed: boolean;
  /** ONEWAY frames (role streams: STREAM frames) of the session that the server has taken in. */
  oneways: number;
  /** Server processes that have had the session, this one too. */
  lives: number;
  facts: Facts;
}

/** Capabilities this build has, by name. */
export const CAPABILITIES: readonly string[] = [
  "files",
  "locks",
  "poll",
  "changes",
  "streams",
  "wide-streams",
];

/** Bytes of a stream that a peer of these capabilities takes in one message where they are spliced. */
export function splicedMax(capabilities: readonly string[]): number {
  return capabilities.includes("wide-streams") ? STREAM_SPLICED_MAX : STREAM_CHUNK_MAX;
}

/** The newest version both sides speak, or 0. */
export function commonVersion(versions: readonly [number, number]): number {
  const newest = Math.min(VERSION_MAX, versions[1]);
  return newest >= VERSION_MIN && newest >= versions[0] ? newest : 0;
}

export function encodeHello(hello: ClientHello | ServerHello): Uint8Array {
  return encode({ magic: MAGIC, ...hello });
}

function map(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > HELLO_MAX) throw new ProtocolError("HELLO is too long");
  const value = decodePlain(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("HELLO is not a map");
  }
  const fields = value as Record<string, unknown>;
  if (fields.magic !== MAGIC) throw new ProtocolError("peer does not speak qtfs");
  return fields;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value.length > TEXT_MAX) {
    throw new ProtocolError(`HELLO has no proper ${what}`);
  }
  return value;
}

function integer(value: unknown, what: string, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
    throw new ProtocolError(`HELLO has no proper ${what}`);
  }
  return value;
}

function sessionId(value: unknown, what: string): string {
  const id = text(value, what);
  if (!/^[0-9a-f]{32}$/.test(id)) throw new ProtocolError(`HELLO has no proper ${what}`);
  return id;
}

function flag(value: unknown, what: string): boolean {
  if (typeof value !== "boolean") throw new ProtocolError(`HELLO has no proper ${what}`);
  return value;
}

function names(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > ITEMS_MAX) {
    throw new ProtocolError("HELLO has no proper capabilities");
  }
  return value.map((name) => text(name, "capability"));
}

function facts(value: unknown): Facts {
  if (typeof value !== "object" || value === null) throw new ProtocolError("HELLO has no facts");
  const fields = value as Record<string, unknown>;
  return {
    build: text(fields.build, "build"),
    arch: text(fields.arch, "arch"),
    kernel: text(fields.kernel, "kernel"),
    bootId: text(fields.bootId, "boot id"),
    pageSize: integer(fields.pageSize, "page size", 1 << 24),
    pid: integer(fields.pid, "pid", 2 ** 31),
  };
}

/** Checks a client's HELLO. */
export function decodeClientHello(bytes: Uint8Array): ClientHello {
  const fields = map(bytes);
  const versions = fields.versions;
  if (!Array.isArray(versions) || versions.length !== 2) {
    throw new ProtocolError("HELLO has no versions");
  }
  const said = text(fields.role, "role");
  const role = ROLES.find((known) => known === said);
  if (role === undefined) throw new ProtocolError("HELLO has an unknown role");
  return {
    versions: [integer(versions[0], "version", 0xffff), integer(versions[1], "version", 0xffff)],
    role,
    capabilities: names(fields.capabilities),
    session: sessionId(fields.session, "session"),
    ...(role === "streams" ? { parent: sessionId(fields.parent, "parent") } : {}),
    ...(fields.from === undefined ? {} : { from: text(fields.from, "address") }),
    resumes: flag(fields.resumes, "resumes"),
    epoch: integer(fields.epoch, "epoch", EPOCH_MAX),
    events: integer(fields.events, "events", Number.MAX_SAFE_INTEGER),
    facts: facts(fields.facts),
  };
}

/** Checks a server's HELLO. */
export function decodeServerHello(bytes: Uint8Array): ServerHello {
  const fields = map(bytes);
  const slots = integer(fields.slots, "slots", SLOTS_MAX);
  if (slots === 0) throw new ProtocolError("HELLO grants no slots");
  return {
    version: integer(fields.version, "version", 0xffff),
    capabilities: names(fields.capabilities),
    slots,
    leaseMs: integer(fields.leaseMs, "lease", 2 ** 31),
    resumed: flag(fields.resumed, "resumed"),
    oneways: integer(fields.oneways, "oneways", Number.MAX_SAFE_INTEGER),
    lives: integer(fields.lives, "lives", 2 ** 31),
    facts: facts(fields.facts),
  };
}

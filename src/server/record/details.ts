/** What a record says of its session beside the tables: rarely written, never half. */
import type { Region } from "../../sys/memory.ts";
import { DETAILS_AT, DETAILS_BYTES, HEADER } from "./layout.ts";

/** What a new process needs to know of a session. */
export interface RecordDetails {
  /** The client's name for the session: 32 hexadecimal digits. */
  session: string;
  /** User id of the client's connection; that of nobody where none is known (TCP). */
  uid: number;
  /** Directory of the HOST that is attached. */
  path: string;
  readOnly: boolean;
  /** Whether mounts beneath it are trees of their own (mounts/hostmounts.ts). */
  splits: boolean;
  /** Addresses of the server, by which it knows its own records. */
  server: string;
  /** What the client said of itself in HELLO. */
  role: string;
  /** The name that the client's certificate is for, where it has one. */
  name?: string;
  /** The client's number for the session, part of its nodes' and handles' numbers. */
  epoch: number;
}

/** A length and a checksum. */
const PREFIX_BYTES = 8;

/**
 * Puts `details` beside those that are there, and only then lets the header's
 * word say where they are. Throws RangeError when they are too long.
 */
export function writeDetails(header: Region, details: RecordDetails): void {
  const json = Buffer.from(JSON.stringify(details));
  if (json.length > DETAILS_BYTES - PREFIX_BYTES) throw new RangeError("Details are too long");
  const next = header.words[HEADER.details] === 0 ? 1 : 0;
  const at = DETAILS_AT[next];
  header.bytes.set(json, at + PREFIX_BYTES);
  header.view.setUint32(at, json.length, true);
  header.view.setUint32(at + 4, Bun.hash.crc32(json), true);
  header.words[HEADER.details] = next;
}

/** The details written last, or undefined where there are none or they are damaged. */
export function readDetails(header: Region): RecordDetails | undefined {
  const at = DETAILS_AT[header.words[HEADER.details] === 0 ? 0 : 1];
  const length = header.view.getUint32(at, true);
  if (length === 0 || length > DETAILS_BYTES - PREFIX_BYTES) return undefined;
  const start = at + PREFIX_BYTES;
  const json = Buffer.from(header.bytes.subarray(start, start + length));
  if (Bun.hash.crc32(json) !== header.view.getUint32(at + 4, true)) return undefined;
  return parse(json.toString());
}

function parse(json: string): RecordDetails | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isDetails(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isDetails(value: unknown): value is RecordDetails {
  if (typeof value !== "object" || value === null) return false;
  const { session, uid, path, readOnly, splits, server, role, name, epoch } =
    value as Partial<RecordDetails>;
  return (
    [session, path, server, role].every((text) => typeof text === "string") &&
    (name === undefined || typeof name === "string") &&
    Number.isInteger(uid) &&
    Number.isInteger(epoch) &&
    typeof readOnly === "boolean" &&
    typeof splits === "boolean"
  );
}

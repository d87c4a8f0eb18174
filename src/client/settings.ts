/** What a daemon writes into the record for the one that takes over from it. */
import { readSync, writeSync } from "node:fs";
import type { Facts } from "../wire/hello.ts";
import type { MountOptions } from "./options.ts";
import { Head, RECORD_MAGIC, SETTINGS_AT, SETTINGS_BYTES } from "./record.ts";

export interface Settings {
  options: Omit<MountOptions, "log" | "successor" | "store">;
  /** As the server allows it. */
  readOnly: boolean;
  /** The session's id, a secret. */
  session: string;
  serverFacts: Facts;
  /** When the mount was made, and when daemons last took over: milliseconds since 1970. */
  mountedAtMs: number;
  takeoversMs: number[];
  /** Why the daemon before ended itself, if it did. */
  lastWords?: string;
}

/** Characters of last words that are kept. */
const LAST_WORDS_MAX = 4000;

/** The settings in the record `fd`; throws a sentence if another release wrote it. */
export function readSettings(fd: number): Settings {
  const head = new Float64Array(Head.SETTINGS_LENGTH + 1);
  readSync(fd, head, 0, head.byteLength, 0);
  const length = head[Head.SETTINGS_LENGTH] as number;
  if (head[Head.MAGIC] !== RECORD_MAGIC || length > SETTINGS_BYTES) {
    throw new Error(
      "Cannot take over a mount of another release of qtfs: umount it and mount anew",
    );
  }
  const bytes = Buffer.alloc(length);
  readSync(fd, bytes, 0, length, SETTINGS_AT);
  return JSON.parse(bytes.toString()) as Settings;
}

/** Leaves `words` to the daemon that takes over, just before this one ends. */
export function leaveLastWords(fd: number, words: string): void {
  const settings = { ...readSettings(fd), lastWords: words.slice(0, LAST_WORDS_MAX) };
  const bytes = Buffer.from(JSON.stringify(settings));
  if (bytes.length > SETTINGS_BYTES) return;
  writeSync(fd, bytes, 0, bytes.length, SETTINGS_AT);
  writeSync(fd, new Float64Array([bytes.length]), 0, 8, Head.SETTINGS_LENGTH * 8);
}

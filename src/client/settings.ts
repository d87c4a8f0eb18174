/** What a daemon writes into the record for the one that takes over from it. */
import { readSync, writeSync } from "node:fs";
import type { Facts } from "../wire/hello.ts";
import type { MountOptions, OwnOptions } from "./options.ts";
import { Head, RECORD_MAGIC, SETTINGS_AT, SETTINGS_BYTES } from "./record.ts";

export interface Settings {
  options: Omit<MountOptions, OwnOptions>;
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

/** The settings lie in one half of their place; the next ones are written to the other. */
const HALF_BYTES = SETTINGS_BYTES / 2;
/** Head.SETTINGS is a length and, times this, which half. */
const TWO_32 = 0x1_0000_0000;
const NUMBER_BYTES = 8;

/** The settings in the record `fd`; throws a sentence if another release wrote it. */
export function readSettings(fd: number): Settings {
  const { half, length } = placeOf(fd);
  const bytes = Buffer.alloc(length);
  readSync(fd, bytes, 0, length, SETTINGS_AT + half * HALF_BYTES);
  return JSON.parse(bytes.toString()) as Settings;
}

/** Where the settings are; throws if the record is none of ours. */
function placeOf(fd: number): { half: number; length: number } {
  const head = new Float64Array(Head.SETTINGS + 1);
  readSync(fd, head, 0, head.byteLength, 0);
  const place = head[Head.SETTINGS] as number;
  const [half, length] = [Math.floor(place / TWO_32), place % TWO_32];
  if (head[Head.MAGIC] !== RECORD_MAGIC || half > 1 || length > HALF_BYTES) {
    throw new Error(
      "Cannot take over a mount of another release of qtfs: umount it and mount anew",
    );
  }
  return { half, length };
}

/** Makes zeros a record, with its first settings. */
export function beginSettings(fd: number, settings: Settings): void {
  write(fd, settings, 0);
  writeSync(fd, new Float64Array([RECORD_MAGIC]), 0, NUMBER_BYTES, Head.MAGIC * NUMBER_BYTES);
}

/** Exchanges the settings: the process may end at any moment, one or the other are there. */
export function exchangeSettings(fd: number, settings: Settings): void {
  write(fd, settings, 1 - placeOf(fd).half);
}

function write(fd: number, settings: Settings, half: number): void {
  const bytes = Buffer.from(JSON.stringify(settings));
  if (bytes.length > HALF_BYTES) throw new Error("The mount's settings are too long");
  writeSync(fd, bytes, 0, bytes.length, SETTINGS_AT + half * HALF_BYTES);
  const place = new Float64Array([half * TWO_32 + bytes.length]);
  writeSync(fd, place, 0, NUMBER_BYTES, Head.SETTINGS * NUMBER_BYTES);
}

/** Leaves `words` to the daemon that takes over, just before this one ends. */
export function leaveLastWords(fd: number, words: string): void {
  exchangeSettings(fd, { ...readSettings(fd), lastWords: words.slice(0, LAST_WORDS_MAX) });
}

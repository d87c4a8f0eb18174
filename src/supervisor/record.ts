/**
 * What a supervisor must not lose with its process: the calls that it has received and not
 * answered, and what it has asked the HOST for them. It is a memfd that the keeper holds; the
 * kernel writes the calls right there, so the process may end between any two stores.
 */

import type { HostSession } from "../client/hostcalls.ts";
import { cstring } from "../sys/cstring.ts";
import { ftruncate } from "../sys/io.ts";
import { type Region, regionAt } from "../sys/memory.ts";
import { SECCOMP_NOTIF, SECCOMP_NOTIF_STRUCT_SIZE } from "../sys/seccomp.ts";
import { mapShared, memfdCreate } from "../sys/sharedmemory.ts";
import { WAITS_MAX } from "../wire/limits.ts";
import type { Keeping } from "./sessions.ts";

/** Calls that are looked at at once: each has a thread. */
export const CALLS_MAX = 16;
const SETTINGS_BYTES = 8192;
const CALL_BYTES = 256;
/** Where a call has, in words, how many requests were made for it; and then, turn by turn, the session of the last one. */
const ASKED = SECCOMP_NOTIF_STRUCT_SIZE / 4;
const TURNS_AT = SECCOMP_NOTIF_STRUCT_SIZE + 8;
const TURN_BYTES = 48;
const TURN = { sequence: 0, events: 4, id: 8 } as const;
const ID_BYTES = 32;
/** Processes of the HOST's that programs have pidfds of, at once. */
export const STAND_INS_MAX = WAITS_MAX;
const STAND_INS_AT = SETTINGS_BYTES + CALLS_MAX * CALL_BYTES;
const RECORD_BYTES = STAND_INS_AT + STAND_INS_MAX * 4;

/** What each supervisor of the same programs is told. */
export interface Settings {
  /** The program and its arguments, for people. */
  readonly command: readonly string[];
  /** When it was started: ISO 8601. */
  readonly startedAt: string;
  /** Its process. */
  readonly pid: number;
  readonly logLevel: string;
  /** Patterns of abstract names that are the HOST's too; a byte a character. */
  readonly names: readonly string[];
}

/** A new record: a descriptor. Throws a sentence. */
export function createRecord(): number {
  const fd = memfdCreate(cstring("qtfs-supervisor"));
  const result = fd < 0 ? fd : ftruncate(fd, RECORD_BYTES);
  if (result < 0) throw new Error(`Cannot keep a record: errno ${-result}`);
  return fd;
}

function map(fd: number): number {
  const address = mapShared(fd, RECORD_BYTES);
  if (address < 0) throw new Error(`Cannot map the record: errno ${-address}`);
  return address;
}

export function readSettings(fd: number): Settings {
  const region = regionAt(map(fd), SETTINGS_BYTES);
  const text = region.bytes.toString("utf8", 4, 4 + (region.words[0] as number));
  return JSON.parse(text) as Settings;
}

export function writeSettings(fd: number, settings: Settings): void {
  const region = regionAt(map(fd), SETTINGS_BYTES);
  const bytes = Buffer.from(JSON.stringify(settings));
  if (bytes.length > SETTINGS_BYTES - 4) throw new Error("The program's name is too long");
  region.bytes.set(bytes, 4);
  region.words[0] = bytes.length;
}

/** Numbers of the processes that stand for the HOST's (standins.ts), 0 where there is none. */
export function standInPids(fd: number): Uint32Array {
  return regionAt(map(fd) + STAND_INS_AT, STAND_INS_MAX * 4).words;
}

/** The place of one call. */
export class CallRecord implements Keeping {
  /** Begins with the struct seccomp_notif. */
  readonly region: Region;

  constructor(fd: number, index: number) {
    this.region = regionAt(map(fd) + SETTINGS_BYTES + index * CALL_BYTES, CALL_BYTES);
  }

  /** Whether a call was received and has not been answered. */
  get isLeft(): boolean {
    return this.region.words[SECCOMP_NOTIF.pid / 4] !== 0;
  }

  /** Nothing was asked for a call. */
  clear(): void {
    this.region.words[ASKED] = 0;
  }

  get done(): number {
    return Math.max(0, (this.region.words[ASKED] as number) - 1);
  }

  get left(): HostSession | undefined {
    const asked = this.region.words[ASKED] as number;
    if (asked === 0) return undefined;
    const { bytes, view } = this.region;
    const at = TURNS_AT + ((asked - 1) % 2) * TURN_BYTES;
    return {
      id: bytes.latin1Slice(at + TURN.id, at + TURN.id + ID_BYTES),
      sequence: view.getUint32(at + TURN.sequence, true),
      events: view.getUint32(at + TURN.events, true),
    };
  }

  keep(session: HostSession): void {
    const { id, sequence, events } = session;
    const { bytes, view, words } = this.region;
    const asked = words[ASKED] as number;
    const { left } = this;
    // It is made again: the one that a process before us had made.
    if (left?.id === id && left.sequence === sequence) return;
    const at = TURNS_AT + (asked % 2) * TURN_BYTES;
    bytes.latin1Write(id, at + TURN.id, ID_BYTES);
    view.setUint32(at + TURN.sequence, sequence, true);
    view.setUint32(at + TURN.events, events, true);
    words[ASKED] = asked + 1;
  }
}

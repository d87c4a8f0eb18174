/** What all workers do to the same files: a log, numbers under locks, slots. */

import { E } from "../../../src/sys/errno.ts";
import { PosixError } from "../../conformance/posix/failure.ts";
import * as posix from "../../conformance/posix/index.ts";
import type { Random } from "../../support/random.ts";
import type { LockKind, Shared } from "./record.ts";

/** Names below `shared/`. */
export const LOG = "log";
export const SLOTS_FILE = "slots";
const LOCK_DIRECTORY = "lock.d";
export const counterName = (lock: LockKind) => `count-${lock}`;

const SLOT_BYTES = 32;
const DIGITS = 12;
/** A directory that serves as a lock is tried this often. */
const TRIES = 100;
const TRY_PAUSE_MS = 2;

/** Something else was seen than must be. */
export class Mismatch extends Error {}

/** A line of the log: who, which, and text that shows whether it is whole. */
export function logLine(worker: number, number: number): string {
  const filler = "=".repeat(20 + (number % 80));
  return `w${worker} ${number} ${filler} w${worker}.${number}\n`;
}

export class SharedFiles {
  /** Slots held, with their marks. */
  readonly held = new Map<number, string>();
  readonly #root: string;
  readonly #worker: number;
  readonly #random: Random;
  readonly #fds = new Map<string, number>();

  constructor(root: string, worker: number, random: Random) {
    this.#root = root;
    this.#worker = worker;
    this.#random = random;
  }

  /** Does an operation; a number that was counted, or whether a slot or lock was free. */
  perform(operation: Shared, number: number): number | boolean | undefined {
    if (operation.op === "count") return this.#count(operation.lock);
    if (operation.op === "hold") return this.#hold(operation.slot, number);
    if (operation.op === "drop") this.#drop(operation.slot);
    if (operation.op === "verify") for (const slot of this.held.keys()) this.#check(slot);
    if (operation.op === "log") this.#log(number);
    return undefined;
  }

  #path(name: string): string {
    return `${this.#root}/shared/${name}`;
  }

  /** One descriptor a file, never closed: closing any would drop its locks (fcntl(2)). */
  #fd(name: string, flags = posix.O_RDWR): number {
    const fd = this.#fds.get(name) ?? posix.open(this.#path(name), flags);
    this.#fds.set(name, fd);
    return fd;
  }

  #log(number: number): void {
    const fd = this.#fd(LOG, posix.O_WRONLY | posix.O_APPEND);
    const line = logLine(this.#worker, number);
    const written = posix.write(fd, line);
    if (written !== line.length) throw new Mismatch(`write(2) took ${written} of ${line.length}`);
    posix.fsync(fd);
  }

  #count(lock: LockKind): number | false {
    const name = counterName(lock);
    const fd = this.#fd(name);
    if (!this.#lock(lock, fd)) return false;
    const before = Number(posix.pread(fd, DIGITS, 0).toString());
    if (this.#random.chance(0.3)) posix.pause(this.#random.below(3));
    posix.pwrite(fd, `${before + 1}`.padStart(DIGITS, "0"), 0);
    this.#unlock(lock, fd);
    return before + 1;
  }

  #lock(lock: LockKind, fd: number): boolean {
    if (lock === "fcntl") untilDone(() => posix.waitLock(fd, posix.F_WRLCK, 0, DIGITS));
    if (lock === "flock") untilDone(() => posix.flock(fd, posix.LOCK_EX));
    if (lock !== "mkdir") return true;
    for (let i = 0; i < TRIES; i++) {
      if (succeeds(() => posix.mkdir(this.#path(LOCK_DIRECTORY)), E.EEXIST)) return true;
      posix.pause(TRY_PAUSE_MS);
    }
    return false;
  }

  #unlock(lock: LockKind, fd: number): void {
    if (lock === "fcntl") posix.setLock(fd, posix.F_UNLCK, 0, DIGITS);
    if (lock === "flock") posix.flock(fd, posix.LOCK_UN);
    if (lock === "mkdir") posix.rmdir(this.#path(LOCK_DIRECTORY));
  }

  #hold(slot: number, number: number): boolean {
    const fd = this.#fd(SLOTS_FILE);
    const lock = () => posix.setLock(fd, posix.F_WRLCK, slot * SLOT_BYTES, SLOT_BYTES);
    if (!succeeds(lock, E.EAGAIN)) return false;
    const mark = `w${this.#worker}.${number}`.padEnd(SLOT_BYTES - 1);
    posix.pwrite(fd, `${mark}\n`, slot * SLOT_BYTES);
    this.held.set(slot, mark);
    return true;
  }

  /** Nobody else may have written where this process holds the lock. */
  #check(slot: number): void {
    const mark = this.held.get(slot) ?? "";
    const found = posix.pread(this.#fd(SLOTS_FILE), SLOT_BYTES - 1, slot * SLOT_BYTES);
    if (found.toString() !== mark) {
      throw new Mismatch(`slot ${slot}, which is locked, has "${found}" instead of "${mark}"`);
    }
  }

  #drop(slot: number): void {
    this.#check(slot);
    this.held.delete(slot);
    posix.setLock(this.#fd(SLOTS_FILE), posix.F_UNLCK, slot * SLOT_BYTES, SLOT_BYTES);
  }
}

/** Does a call that waits again as long as signals interrupt it. */
function untilDone(call: () => void): void {
  while (!succeeds(call, E.EINTR));
}

/** Whether a call succeeds; false where it fails with the one errno that it may. */
function succeeds(call: () => void, expected: number): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (error instanceof PosixError && error.errno === expected) return false;
    throw error;
  }
}

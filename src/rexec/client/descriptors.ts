/** What this process has as descriptors, and how each gets to the program. */
import { fstatSync, readlinkSync, type Stats } from "node:fs";
import { E } from "../../sys/errno.ts";
import { lseek, SEEK_CUR } from "../../sys/io.ts";
import {
  F_GETFD,
  F_GETFL,
  FD_CLOEXEC,
  fcntlInt,
  O_ACCMODE,
  O_APPEND,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../../sys/open.ts";
import { compareDescriptions } from "../../sys/process.ts";
import { isTerminal } from "../../sys/terminal.ts";
import { major, minor } from "../../sys/tree.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { ProgramEnd } from "../../wire/streams.ts";
import { identify } from "../identity.ts";
import type { OrderedFd, OrderedFile } from "../order.ts";
import { socketKind } from "./inherited.ts";

const STDERR = 2;

/** What lies behind a descriptor, as far as it matters here. */
export const Thing = { FILE: 0, PIPE: 1, SOCKET: 2, TERMINAL: 3 } as const;
export type Thing = (typeof Thing)[keyof typeof Thing];

/** One stream: for a descriptor of ours, or several of the same thing. */
export interface Place {
  readonly fds: number[];
  readonly thing: Thing;
  /** ProgramEnd: what the program has. */
  readonly kind: number;
}

/** A regular file above 2, which may be the same there by its path. */
export interface OwnFile extends OrderedFile {
  /** One of ours that has it. */
  readonly fd: number;
}

export interface Descriptors {
  readonly places: Place[];
  readonly fds: OrderedFd[];
  readonly files: OwnFile[];
}

/** Devices that are the same everywhere, by their minor numbers (Linux: devices.txt, major 1). */
const MEMORY_MAJOR = 1;
const MEMORY_DEVICES: Readonly<Record<number, string>> = {
  3: "null",
  5: "zero",
  7: "full",
  8: "random",
  9: "urandom",
};

interface Found {
  readonly fd: number;
  readonly stats: Stats;
  /** O_ACCMODE and O_APPEND of it. */
  readonly flags: number;
  readonly thing: Thing;
  /** ProgramEnd; undefined: no stream can stand for it. */
  readonly kind: number | undefined;
}

/**
 * Looks at `numbers`, in ascending order. Those that are closed stay closed: where one of the
 * first three was, the runtime has put a /dev/null at its start, which is closed on exec. What
 * cannot be had there is left out; it throws a sentence for one of those that are `asked` for.
 */
export function readDescriptors(numbers: readonly number[], asked: readonly number[]): Descriptors {
  const found = numbers.map(look).filter((one) => one !== undefined);
  const reader = new Reader(found);
  for (const one of found) {
    const why = reader.take(one, asked.includes(one.fd));
    if (why !== undefined && (one.fd <= STDERR || asked.includes(one.fd))) {
      throw new Error(`Descriptor ${one.fd} is ${why}, which cannot be passed`);
    }
  }
  return reader;
}

class Reader implements Descriptors {
  readonly places: Place[] = [];
  readonly fds: OrderedFd[] = [];
  readonly files: OwnFile[] = [];
  readonly #all: readonly Found[];
  readonly #taken: (Found & { place: Place })[] = [];

  constructor(all: readonly Found[]) {
    this.#all = all;
  }

  /** Why it cannot be had, if so. */
  take(one: Found, isAsked: boolean): string | undefined {
    const { fd: target, stats, flags } = one;
    const device = deviceOf(stats);
    if (device !== undefined) {
      this.fds.push({ target, device, flags: flags & O_ACCMODE });
      return undefined;
    }
    if (target > STDERR && stats.isFile()) return this.#takeFile(one);
    if (one.kind === undefined) return nameOf(one);
    if (!isAsked && target > STDERR && this.#isLoop(one)) return "both ends of a pipe";
    this.fds.push({ target, place: this.#place(one, one.kind) });
    return undefined;
  }

  #place(one: Found, kind: number): number {
    const same = this.#taken.find((other) => isSame(other, one));
    const place = same?.place ?? { fds: [], thing: one.thing, kind };
    if (same === undefined) this.places.push(place);
    place.fds.push(one.fd);
    this.#taken.push({ ...one, place });
    return this.places.indexOf(place);
  }

  #takeFile(one: Found): string | undefined {
    const { fd: target, flags } = one;
    // Whoever shares its position with standard input or output has that stream.
    const same = this.#taken.find((other) => other.fd <= STDERR && isSame(other, one));
    if (same !== undefined && one.kind !== undefined) {
      this.fds.push({ target, place: this.#place(one, one.kind) });
      return undefined;
    }
    let file = this.files.findIndex((other) => compareDescriptions(other.fd, target) === 0);
    if (file < 0) {
      const path = readlinkSync(`/proc/self/fd/${target}`, { encoding: "buffer" });
      const identity = identify(target);
      if (identity === undefined || path.length > PATH_MAX) return "no file";
      // Whoever reads and writes needs the file itself.
      const hasStream = (flags & O_ACCMODE) !== O_RDWR && one.kind !== undefined;
      const place = hasStream ? this.#place(one, one.kind as number) : -1;
      const offset = Math.max(0, lseek(target, 0, SEEK_CUR));
      file = this.files.push({ fd: target, path, flags, offset, identity, place }) - 1;
    }
    this.fds.push({ target, file });
    return undefined;
  }

  /**
   * Whether it is a pipe that whoever has it writes and reads, as make(1) and shells use them to
   * count: what is read of it in advance would be missing there.
   */
  #isLoop({ thing, stats, flags }: Found): boolean {
    if (thing !== Thing.PIPE) return false;
    const access = flags & O_ACCMODE;
    return this.#all.some(
      (other) =>
        other.stats.ino === stats.ino &&
        other.stats.dev === stats.dev &&
        ((other.flags & O_ACCMODE) !== access || access === O_RDWR),
    );
  }
}

function nameOf({ stats, thing }: Found): string {
  if (thing === Thing.SOCKET) return "a socket without a peer";
  return stats.isDirectory() ? "a directory" : "of a kind";
}

/** With a terminal of its own: what is typed comes from 0, what it shows goes to 1. */
export function terminalDescriptors(): Descriptors {
  const keyboard = look(0);
  const screen = look(1);
  const places: Place[] = [
    { fds: [0], thing: keyboard?.thing ?? Thing.FILE, kind: ProgramEnd.KEYBOARD },
    { fds: [1], thing: screen?.thing ?? Thing.FILE, kind: ProgramEnd.SCREEN },
  ];
  return { places, fds: [0, 1, 2].map((target) => ({ target, place: 1 })), files: [] };
}

function look(fd: number): Found | undefined {
  const inFd = fcntlInt(fd, F_GETFD);
  if (inFd === -E.EBADF || (fd <= STDERR && (inFd & FD_CLOEXEC) !== 0)) return undefined;
  const stats = fstatSync(fd);
  const thing = thingOf(fd, stats);
  const flags = fcntlInt(fd, F_GETFL) & (O_ACCMODE | O_APPEND);
  return { fd, stats, flags, thing, kind: kindOf(fd, stats, flags & O_ACCMODE, thing) };
}

function thingOf(fd: number, stats: Stats): Thing {
  if (stats.isFIFO()) return Thing.PIPE;
  if (stats.isSocket()) return Thing.SOCKET;
  return stats.isCharacterDevice() && isTerminal(fd) ? Thing.TERMINAL : Thing.FILE;
}

function deviceOf(stats: Stats): string | undefined {
  if (!stats.isCharacterDevice() || major(stats.rdev) !== MEMORY_MAJOR) return undefined;
  return MEMORY_DEVICES[minor(stats.rdev)];
}

/** Whether what is written to one is as well written to the other. */
function isSame(one: Found, other: Found): boolean {
  const { stats } = one;
  if (stats.ino !== other.stats.ino || stats.dev !== other.stats.dev) return false;
  if (one.kind !== other.kind) return false;
  // Two descriptions of a file have each their own position.
  return one.thing !== Thing.FILE || compareDescriptions(one.fd, other.fd) === 0;
}

function kindOf(fd: number, stats: Stats, access: number, thing: Thing): number | undefined {
  if (thing === Thing.SOCKET) return socketKind(fd);
  if (fd > STDERR && thing === Thing.FILE && !stats.isFile()) return undefined;
  const isInput = fd === 0 ? access !== O_WRONLY : access === O_RDONLY;
  if (!isInput) return ProgramEnd.OUTPUT;
  return thing === Thing.FILE ? ProgramEnd.FILE_INPUT : ProgramEnd.INPUT;
}

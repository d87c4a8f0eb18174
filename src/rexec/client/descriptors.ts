/** What this process has as descriptors, and how each gets to the program. */
import { fstatSync, type Stats } from "node:fs";
import { E } from "../../sys/errno.ts";
import {
  F_GETFD,
  F_GETFL,
  FD_CLOEXEC,
  fcntlInt,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
} from "../../sys/open.ts";
import { compareDescriptions } from "../../sys/process.ts";
import { isTerminal } from "../../sys/terminal.ts";
import { major, minor } from "../../sys/tree.ts";
import { ProgramEnd } from "../../wire/streams.ts";
import type { OrderedFd } from "../order.ts";

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

export interface Descriptors {
  readonly places: Place[];
  readonly fds: OrderedFd[];
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
  readonly access: number;
  readonly thing: Thing;
}

/**
 * Looks at `numbers`, in ascending order. Those that are closed stay closed: where one of the
 * first three was, the runtime has put a /dev/null at its start, which is closed on exec, as
 * nothing that was inherited can be.
 */
export function readDescriptors(numbers: readonly number[]): Descriptors {
  const places: Place[] = [];
  const found: (Found & { place: Place })[] = [];
  const fds: OrderedFd[] = [];
  for (const target of numbers) {
    const one = look(target);
    if (one === undefined) continue;
    const device = deviceOf(one.stats);
    if (device !== undefined) {
      fds.push({ target, device, flags: one.access });
      continue;
    }
    const same = found.find((other) => isSame(other, one));
    const place = same?.place ?? { fds: [], thing: one.thing, kind: kindOf(one) };
    if (same === undefined) places.push(place);
    place.fds.push(target);
    found.push({ ...one, place });
    fds.push({ target, place: places.indexOf(place) });
  }
  return { places, fds };
}

/** With a terminal of its own: what is typed comes from 0, what it shows goes to 1. */
export function terminalDescriptors(): Descriptors {
  const keyboard = look(0);
  const screen = look(1);
  const places: Place[] = [
    { fds: [0], thing: keyboard?.thing ?? Thing.FILE, kind: ProgramEnd.KEYBOARD },
    { fds: [1], thing: screen?.thing ?? Thing.FILE, kind: ProgramEnd.SCREEN },
  ];
  return { places, fds: [0, 1, 2].map((target) => ({ target, place: 1 })) };
}

function look(fd: number): Found | undefined {
  const flags = fcntlInt(fd, F_GETFD);
  if (flags === -E.EBADF || (fd <= 2 && (flags & FD_CLOEXEC) !== 0)) return undefined;
  const stats = fstatSync(fd);
  return { fd, stats, access: fcntlInt(fd, F_GETFL) & O_ACCMODE, thing: thingOf(fd, stats) };
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
  if (kindOf(one) !== kindOf(other)) return false;
  // Two descriptions of a file have each their own position.
  return one.thing !== Thing.FILE || compareDescriptions(one.fd, other.fd) === 0;
}

function kindOf({ fd, thing, access }: Found): number {
  if (thing === Thing.SOCKET) return ProgramEnd.SOCKET;
  const isInput = fd === 0 ? access !== O_WRONLY : access === O_RDONLY;
  if (!isInput) return ProgramEnd.OUTPUT;
  return thing === Thing.FILE ? ProgramEnd.FILE_INPUT : ProgramEnd.INPUT;
}

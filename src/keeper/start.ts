/** Reaches a keeper, or starts one: this program by another name, in a session of its own. */
import { fstatSync } from "node:fs";
import type { Loop } from "../bridge/loop.ts";
import { type ChildFd, spawn } from "../sys/child.ts";
import { cstring } from "../sys/cstring.ts";
import { EPOLLIN } from "../sys/epoll.ts";
import { E, errnoText } from "../sys/errno.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  F_DUPFD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat,
} from "../sys/open.ts";
import { pidfdOpen } from "../sys/process.ts";
import { connectUnix, listenUnix, SOCK_SEQPACKET } from "../sys/socket.ts";
import { reap, stringArray } from "../sys/spawn.ts";

/** Where a keeper finds the socket that servers connect to. */
export const KEEPER_FD = 3;
const BACKLOG = 16;
const OWNER_ALONE = 0o600;
/** Above every descriptor of a keeper's at its start. */
const ABOVE = 16;
/** What service managers say to the process that they have started alone. */
const NOT_INHERITED = [
  "NOTIFY_SOCKET",
  "WATCHDOG_USEC",
  "WATCHDOG_PID",
  "LISTEN_FDS",
  "LISTEN_PID",
];

/**
 * A connection to the keeper at `path`, and the socket that one is yet to be started with, or
 * -1 where one is there: what is said before it is up is heard then. Throws a sentence.
 */
export function reachKeeper(path: string): { fd: number; listenFd: number } {
  let fd = connectUnix(path, SOCK_SEQPACKET);
  let listenFd = -1;
  if (fd < 0) {
    listenFd = listenUnix(path, OWNER_ALONE, BACKLOG, SOCK_SEQPACKET);
    // Another server's keeper may have come meanwhile.
    if (listenFd < 0 && listenFd !== -E.EADDRINUSE) {
      throw new Error(`Cannot listen at ${path}: ${errnoText(-listenFd)}`);
    }
    fd = connectUnix(path, SOCK_SEQPACKET);
  }
  if (fd >= 0) return { fd, listenFd: Math.max(-1, listenFd) };
  if (listenFd >= 0) close(listenFd);
  throw new Error(`Cannot reach the keeper at ${path}: ${errnoText(-fd)}`);
}

/**
 * Starts one called `name`: `command` starts this program, `fd` listens at `path` and is closed
 * here. Its process id; throws a sentence where it cannot be started.
 */
export function startKeeper(
  name: string,
  command: readonly string[],
  path: string,
  fd: number,
): number {
  const [executable, ...rest] = command;
  const env = Object.entries(process.env).filter(([name]) => !NOT_INHERITED.includes(name));
  const argv = new Strings([name, ...rest, path]);
  const envp = new Strings(env.map(([name, value]) => `${name}=${value}`));
  const cwdFd = openat(AT_FDCWD, cstring("/"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  const own: number[] = [];
  const keep = (one: number, target: number): ChildFd => {
    const moved = fcntlInt(one, F_DUPFD_CLOEXEC, ABOVE);
    own.push(moved);
    return { target, fd: moved };
  };
  const nothing = (target: number): ChildFd => ({ target, path: "/dev/null", flags: 2 });
  try {
    const fds = [nothing(0), nothing(1), logs() ? keep(2, 2) : nothing(2), keep(fd, KEEPER_FD)];
    const file = Buffer.from(`${executable}\0`);
    const program = allocate(file.length);
    program.bytes.set(file);
    const given = { umask: 0, limits: [], cgroupFds: [], blocked: 0n, ignored: 0n };
    const words = { argv: argv.address, envp: envp.address };
    const pid = spawn({ program: { path: program.address }, ...words, cwdFd, fds, ...given });
    free(program);
    if (typeof pid === "number") return pid;
    throw new Error(`Cannot start ${name}: ${errnoText(pid.errno)}`);
  } finally {
    for (const one of [cwdFd, fd, ...own]) close(one);
    argv.free();
    envp.free();
  }
}

/** Asks, as its parent, how process `pid` has ended once it has, or it stays as a zombie. */
export function awaitEnd(loop: Loop, pid: number): void {
  const pidfd = pidfdOpen(pid);
  if (pidfd < 0) return;
  loop.add(pidfd, EPOLLIN, {
    onEvents: () => {
      reap(pidfd);
      loop.remove(pidfd);
      close(pidfd);
    },
  });
}

/** How many keepers may be needed in a short time: the next ones would do no better. */
const TRIES_MAX = 10;
const TRIES_WITHIN_MS = 10_000;

export class Tries {
  #triedMs: number[] = [];

  /** To be called before each try; throws a sentence where there were too many. */
  next(): void {
    const nowMs = Date.now();
    this.#triedMs = [...this.#triedMs.filter((ms) => ms > nowMs - TRIES_WITHIN_MS), nowMs];
    if (this.#triedMs.length > TRIES_MAX) throw new Error("The keepers end one after another");
  }
}

/** Where it says why it has failed, if at all: a log file, but not the pipe of whoever waits for us. */
function logs(): boolean {
  const stderr = fstatSync(2);
  return !stderr.isSocket() && !stderr.isFIFO();
}

/** Strings in memory, and an array of their addresses. */
class Strings {
  readonly #text: Region;
  readonly #array: Region;

  constructor(strings: readonly string[]) {
    const bytes = Buffer.from(strings.map((one) => `${one}\0`).join(""));
    this.#text = allocate(Math.max(bytes.length, 1));
    this.#text.bytes.set(bytes);
    this.#array = stringArray(bytes, this.#text.address);
  }

  get address(): number {
    return this.#array.address;
  }

  free(): void {
    free(this.#array);
    free(this.#text);
  }
}

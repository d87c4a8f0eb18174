/** Starts a keeper: this program by another name, in a session of its own. */
import { fstatSync } from "node:fs";
import { type ChildFd, spawn } from "../../sys/child.ts";
import { cstring } from "../../sys/cstring.ts";
import { errnoText } from "../../sys/errno.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  F_DUPFD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat,
} from "../../sys/open.ts";
import { stringArray } from "../../sys/spawn.ts";
import { KEEPER_FD, KEEPER_NAME } from "./place.ts";

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

/** `command` starts this program; `fd` listens at `path`. Its process id; throws a sentence where it cannot be started. */
export function startKeeper(command: readonly string[], path: string, fd: number): number {
  const [executable, ...rest] = command;
  const env = Object.entries(process.env).filter(([name]) => !NOT_INHERITED.includes(name));
  const argv = new Strings([KEEPER_NAME, ...rest, path]);
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
    const name = Buffer.from(`${executable}\0`);
    const program = allocate(name.length);
    program.bytes.set(name);
    const given = { umask: 0, limits: [], cgroupFds: [], blocked: 0n, ignored: 0n };
    const words = { argv: argv.address, envp: envp.address };
    const pid = spawn({ program: { path: program.address }, ...words, cwdFd, fds, ...given });
    free(program);
    if (typeof pid === "number") return pid;
    throw new Error(`Cannot start the keeper of programs: ${errnoText(pid.errno)}`);
  } finally {
    for (const one of [cwdFd, ...own]) close(one);
    argv.free();
    envp.free();
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

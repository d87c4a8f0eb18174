/**
 * Starts a program under a supervisor: this process becomes it. The supervisor is started
 * before, as nobody's child that the program could wait for; the filter is set by the thread
 * that then calls execve(2), and is that of all that the program ever starts.
 */
import { fstatSync } from "node:fs";
import { ownCommand } from "../cli/background.ts";
import { join, readCaller, readEnvironment } from "../rexec/client/caller.ts";
import { SYS } from "../sys/arch.ts";
import { cstring } from "../sys/cstring.ts";
import { E, errnoText } from "../sys/errno.ts";
import { Resource, setLimit } from "../sys/limits.ts";
import { allocate } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { resetSignal } from "../sys/process.ts";
import { rawSyscall } from "../sys/rawsyscall.ts";
import { notifyCalls, notifyingFilter } from "../sys/seccomp.ts";
import { SIGPIPE, SIGXFSZ } from "../sys/signals.ts";
import { recv, SOCK_SEQPACKET, sendFds, socketPair } from "../sys/socket.ts";
import { stringArray } from "../sys/spawn.ts";
import { EXCEPTION, filtered } from "./calls.ts";
import { namePattern } from "./names.ts";
import { SETTINGS_MAX, SUPERVISOR_WORD } from "./process.ts";
import type { Settings } from "./record.ts";

/** How long the supervisor may take to be there. */
const READY_MS = 20_000;
/** Starts it as a child of init: the shell that has started it has ended. */
const SCRIPT = '"$@" &';
const WORDS_MAX = 40;
const WORD_CHARS_MAX = 100;

export interface LaunchOptions {
  /** The program and its arguments, byte for byte. */
  readonly argv: readonly Buffer[];
  readonly logLevel: string;
  /** Patterns of abstract names of sockets that are the HOST's too, as people write them. */
  readonly abstract: readonly string[];
}

/** Becomes the program; throws a sentence where it cannot. */
export async function launch({ abstract, argv, logLevel }: LaunchOptions): Promise<never> {
  const file = findProgram((argv[0] as Buffer).toString());
  const pair = socketPair(SOCK_SEQPACKET);
  if (typeof pair === "number") throw new Error(`Cannot make a socket: ${errnoText(-pair)}`);
  const [own, theirs] = pair;
  await startSupervisor(theirs);
  close(theirs);
  const { limits } = readCaller();
  const settings: Settings = {
    command: argv.slice(0, WORDS_MAX).map((word) => word.toString().slice(0, WORD_CHARS_MAX)),
    startedAt: new Date().toISOString(),
    pid: process.pid,
    logLevel,
    names: abstract.map(namePattern),
  };
  supervised(own, filtered(abstract.length > 0), settings);
  const nofile = limits[Resource.NOFILE];
  if (nofile !== undefined) setLimit(0, Resource.NOFILE, nofile);
  // What the runtime ignores, whatever was so before.
  for (const signal of [SIGPIPE, SIGXFSZ]) resetSignal(signal);
  throw new Error(`Cannot run ${file}: ${errnoText(-become(file, argv))}`);
}

/** Where a shell would find it. */
function findProgram(name: string): string {
  const found = name.includes("/") ? name : Bun.which(name);
  if (found === null) throw new Error(`Cannot run ${name}: not found`);
  return found;
}

async function startSupervisor(socket: number): Promise<void> {
  const child = Bun.spawn(["/bin/sh", "-c", SCRIPT, "sh", ...ownCommand(), SUPERVISOR_WORD], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", "ignore", errorOutput(), socket],
  });
  await child.exited;
}

/** Where it logs to: not to a pipe, whose reader waits for the end of the program. */
function errorOutput(): "inherit" | "ignore" {
  return fstatSync(2).isFIFO() ? "ignore" : "inherit";
}

function refusal(errno: number): string {
  switch (errno) {
    case E.EACCES:
      return "Only root (CAP_SYS_ADMIN) may supervise programs";
    case E.EBUSY:
      return "This is supervised already: of one program there is one supervisor";
    case E.EINVAL:
      return "Supervising programs needs Linux 5.19";
    default:
      return `Cannot supervise: ${errnoText(errno)}`;
  }
}

/**
 * Tells the supervisor what it supervises, sets the filter of the calls `numbers`, gives it the
 * listener, and waits until it is at work. From the filter on nobody answers those calls until it
 * has the listener, and the runtime may make one whenever it starts a thread or compiles
 * (sched_getaffinity): so all that is done in between has been done before.
 */
function supervised(socket: number, numbers: readonly number[], settings: Settings): void {
  const said = allocate(SETTINGS_MAX);
  const length = said.bytes.write(JSON.stringify(settings));
  const told = sendFds(socket, said.address, length, [socket], 0);
  const filter = notifyingFilter(numbers, EXCEPTION);
  const polls = new PollSet(1);
  polls.add(socket, POLLIN);
  const beside = [0];
  const listener = notifyCalls(filter);
  beside[0] = listener;
  const sent = listener < 0 ? listener : sendFds(socket, said.address, 1, beside, 0);
  if (listener < 0) throw new Error(refusal(-listener));
  close(listener);
  const isTold = told > 0 && sent > 0;
  const isReady = isTold && polls.wait(READY_MS) > 0 && recv(socket, said.address, 1) === 1;
  close(socket);
  if (!isReady) throw new Error("The supervisor did not start");
}

/** execve(2): -errno, if it returns. */
function become(file: string, argv: readonly Buffer[]): number {
  const words = strings(join(argv));
  const variables = strings(readEnvironment([], []));
  return rawSyscall(SYS.execve, cstring(file), words, variables);
}

/** Address of an array of the strings that lie one behind the other, each with its NUL. */
function strings(bytes: Buffer): number {
  const region = allocate(Math.max(1, bytes.length));
  region.bytes.set(bytes);
  return stringArray(bytes, region.address).address;
}

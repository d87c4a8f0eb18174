/** One try to start what was found: with the environment, limits and cgroups of a grant. */
import { openCgroup } from "../../sys/cgroup.ts";
import { type ChildFd, type SpawnFailure, spawn } from "../../sys/child.ts";
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { limitName } from "../../sys/limits.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { stringArray } from "../../sys/spawn.ts";
import type { Order, SignalSet } from "../order.ts";
import type { Acting } from "./acting.ts";
import { activate, NUMBER_ROOM } from "./activation.ts";
import { environmentBy } from "./environment.ts";
import type { Grant } from "./rules.ts";
import { USER_START_MS } from "./stalls.ts";

const SHELL = "/bin/sh";
const STALLED = `what a program of this user needs could not be opened within ${USER_START_MS / 1000} s; none is started for a minute`;

/** What is executed. */
export interface Target {
  readonly program: { readonly path: number } | { readonly fd: number };
  /** What stays open for a script's interpreter. */
  readonly keptFd?: number;
  /** What the shell is told where it is to run it, each character a byte. */
  readonly script: string;
}

export interface AttemptOptions {
  readonly order: Order;
  readonly region: Region;
  readonly acting: Acting;
  readonly grant: Grant;
  readonly cwdFd: number;
  readonly fds: readonly ChildFd[];
  /** Addresses of the arguments. */
  readonly argv: Region;
  /** The number of the client among its own. */
  readonly clientPid: number;
}

/** Starts `target`: its process id; the -errno of execve(2); or why what it is to have cannot be had. */
export function attempt(options: AttemptOptions, target: Target): number | string {
  const one = new Attempt(options);
  try {
    return one.openCgroups() ?? one.start(target);
  } finally {
    one.free();
  }
}

const paths = new PathBuffer(1);

class Attempt {
  readonly #options: AttemptOptions;
  readonly #envp: Region;
  readonly #env: Region | undefined;
  /** Where in it the number of the program is to be; -1: nowhere. */
  readonly #numberAt: number = -1;
  readonly #cgroupFds: number[] = [];

  constructor(options: AttemptOptions) {
    this.#options = options;
    const { order, region, grant, clientPid } = options;
    const given = region.bytes.subarray(order.envStart, order.end);
    const rule = grant.rule?.env;
    const ruled = rule === undefined ? given : environmentBy(given, rule);
    const activation = activate(ruled, grant.head, clientPid);
    if (rule === undefined && activation === undefined) {
      this.#envp = stringArray(given, region.address + order.envStart);
      return;
    }
    const env = activation?.env ?? ruled;
    if (activation !== undefined) this.#numberAt = activation.at;
    this.#env = allocate(Math.max(env.length, 1));
    this.#env.bytes.set(env);
    this.#envp = stringArray(env, this.#env.address);
  }

  /** Opens the cgroups that it is to enter; why not, where that cannot be. */
  openCgroups(): string | undefined {
    for (const path of this.#options.grant.rule?.cgroups ?? []) {
      const fd = openCgroup(path);
      if (fd < 0) return `cannot enter cgroup ${path}: ${errnoText(-fd)}`;
      this.#cgroupFds.push(fd);
    }
    return undefined;
  }

  start(target: Target): number | string {
    const { argv, grant, acting } = this.#options;
    const { uid } = grant.head;
    if (acting.stalls.has(uid)) return STALLED;
    let result = this.#spawn(target, argv.address);
    if (typeof result !== "number" && result.step === "program" && result.errno === E.ENOEXEC) {
      result = this.#spawnShell(target);
    }
    if (typeof result === "number") return result;
    if (result.errno === E.ETIMEDOUT && uid !== 0) {
      acting.stalls.note(uid);
      return STALLED;
    }
    return result.step === "program" ? -result.errno : describe(result, grant);
  }

  #spawn({ program, keptFd }: Target, argv: number): number | SpawnFailure {
    const { acting, grant, cwdFd, fds } = this.#options;
    const { head, rule } = grant;
    const number = this.#numberRoom();
    const mayRaise = head.uid === 0 && rule?.as === undefined;
    return spawn({
      program,
      ...(keptFd !== undefined && { keptFd }),
      argv,
      envp: this.#envp.address,
      ...(number && { number }),
      cwdFd,
      umask: head.umask,
      ...acting.identity(head),
      limits: acting.limits(head, mayRaise, rule?.limits),
      cgroupFds: this.#cgroupFds,
      fds,
      blocked: toBits(head.blocked),
      ignored: toBits(head.ignored),
      ...(head.uid !== 0 && { boundMs: USER_START_MS }),
    });
  }

  /** Where its number is to be written; what may be there of another attempt is gone. */
  #numberRoom(): { address: number; room: number } | undefined {
    if (this.#env === undefined || this.#numberAt < 0) return undefined;
    this.#env.bytes.fill(0, this.#numberAt, this.#numberAt + NUMBER_ROOM);
    return { address: this.#env.address + this.#numberAt, room: NUMBER_ROOM };
  }

  /** A script without its interpreter's name is the shell's, as for execvp(3). */
  #spawnShell({ program, script }: Target): number | SpawnFailure {
    const { order, region } = this.#options;
    const first = region.bytes.indexOf(0, order.argvStart) + 1;
    const rest = region.bytes.subarray(first, order.envStart);
    const shell = cstring(SHELL);
    const argv = stringArray(rest, region.address + first, [shell, paths.putLatin1(0, script)]);
    const kept = "fd" in program ? { keptFd: program.fd } : {};
    const result = this.#spawn({ program: { path: shell }, ...kept, script }, argv.address);
    free(argv);
    return result;
  }

  free(): void {
    free(this.#envp);
    if (this.#env !== undefined) free(this.#env);
    for (const fd of this.#cgroupFds.splice(0)) close(fd);
  }
}

/** Why a program that was found and is allowed does not run. */
function describe({ step, index, errno }: SpawnFailure, { head, rule }: Grant): string {
  const why = errnoText(errno);
  switch (step) {
    case "cgroup":
      return `cannot enter cgroup ${rule?.cgroups?.[index]}: ${why}`;
    case "limit":
      return `cannot have the limit ${limitName(rule?.limits?.[index]?.[0] ?? -1)}: ${why}`;
    case "user":
      return `cannot become user ${head.uid}: ${why}`;
    case "directory":
      return `cannot be in ${Buffer.from(head.cwd).toString()}: ${why}`;
    default:
      return why;
  }
}

function toBits([low, high]: SignalSet): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

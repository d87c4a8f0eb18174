/**
 * Finds a program as a shell would, with the caller's PATH, directory and rights, and starts
 * it: 127 and 126 and their sentences are those of dash(1).
 */
import { readlinkSync } from "node:fs";
import { type ChildFd, spawn } from "../../sys/child.ts";
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { free, type Region } from "../../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../../sys/open.ts";
import { canExecute, stringArray } from "../../sys/spawn.ts";
import type { Order, SignalSet } from "../order.ts";
import type { Acting } from "./acting.ts";

/** Where execvp(3) looks without a PATH. */
const DEFAULT_PATH = "/bin:/usr/bin";
const SHELL = "/bin/sh";
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/** Why a program was not started: the exit code and a sentence. */
export interface NotStarted {
  readonly code: number;
  readonly sentence: string;
}

/** What is to be started: an order whose bytes lie in a region. */
export interface StartOptions {
  readonly order: Order;
  readonly region: Region;
  readonly fds: readonly ChildFd[];
  readonly acting: Acting;
  /**
   * Where not every program may be started: throws NotAllowed for the resolved path of one
   * that may not.
   */
  readonly check?: (resolved: string) => void;
}

/** A program that the rules do not allow. */
export class NotAllowed extends Error {}

const paths = new PathBuffer(2);

/** Starts it: its process id, or why not. */
export function start(options: StartOptions): number | NotStarted {
  const starter = new Starter(options);
  try {
    return starter.start();
  } finally {
    starter.free();
  }
}

class Starter {
  readonly #options: StartOptions;
  readonly #name: string;
  readonly #argv: Region;
  readonly #envp: Region;
  #cwdFd = -1;

  constructor(options: StartOptions) {
    this.#options = options;
    const { order, region } = options;
    const { argvStart, envStart, end } = order;
    const { bytes, address } = region;
    this.#name = bytes.latin1Slice(argvStart, bytes.indexOf(0, argvStart));
    this.#argv = stringArray(bytes.subarray(argvStart, envStart), address + argvStart);
    this.#envp = stringArray(bytes.subarray(envStart, end), address + envStart);
  }

  start(): number | NotStarted {
    try {
      const pid = this.#enterAndFind();
      return pid > 0 ? pid : this.#reason(-pid);
    } catch (error) {
      if (error instanceof NotAllowed) return { code: CANNOT_EXECUTE, sentence: error.message };
      throw error;
    } finally {
      if (this.#cwdFd >= 0) close(this.#cwdFd);
    }
  }

  free(): void {
    free(this.#argv);
    free(this.#envp);
  }

  #reason(errno: number): NotStarted {
    const { cwd } = this.#options.order.head;
    if (this.#cwdFd < 0) {
      const where = Buffer.from(cwd).toString();
      const sentence = `cannot be in ${where} there: ${errnoText(errno)} (see --cwd)`;
      return { code: CANNOT_EXECUTE, sentence };
    }
    const name = Buffer.from(this.#name, "latin1").toString();
    const isMissing = errno === E.ENOENT || errno === E.ENOTDIR;
    const isUnreachable = errno === E.ELOOP || errno === E.ENAMETOOLONG;
    return {
      code: isMissing || isUnreachable ? NOT_FOUND : CANNOT_EXECUTE,
      sentence: `${name}: ${isMissing ? "not found" : errnoText(errno)}`,
    };
  }

  #enterAndFind(): number {
    const { cwd } = this.#options.order.head;
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    const path = paths.putBytes(0, cwd, 0, cwd.length);
    const fd = this.#asCaller(() => openat(AT_FDCWD, path, flags, 0));
    if (fd < 0) return fd;
    this.#cwdFd = fd;
    return this.#find();
  }

  /** Tries what the name may mean, in turn: the process id, or the -errno that a shell would tell. */
  #find(): number {
    if (this.#name.includes("/")) return this.#execute(this.#name);
    if (this.#name === "") return -E.ENOENT;
    let errno: number = E.ENOENT;
    for (const directory of this.#searchPath().split(":")) {
      const result = this.#execute(directory === "" ? this.#name : `${directory}/${this.#name}`);
      if (result > 0) return result;
      if (result === -E.EACCES) errno = E.EACCES;
      else if (result !== -E.ENOENT && result !== -E.ENOTDIR && result !== -E.ENAMETOOLONG) {
        return result;
      }
    }
    return -errno;
  }

  #searchPath(): string {
    const { order, region } = this.#options;
    const env = region.bytes.latin1Slice(order.envStart, order.end);
    const at = env.startsWith("PATH=") ? 0 : env.indexOf("\0PATH=") + 1;
    if (at === 0 && !env.startsWith("PATH=")) return DEFAULT_PATH;
    return env.slice(at + "PATH=".length, env.indexOf("\0", at));
  }

  #execute(path: string): number {
    if (path.length > PATH_MAX) return -E.ENAMETOOLONG;
    const address = paths.putLatin1(0, path);
    const found = this.#asCaller(() => canExecute(this.#cwdFd, address));
    if (found < 0) return found;
    const { check } = this.#options;
    if (check === undefined) return this.#spawn(address);
    const resolved = this.#resolve(address);
    if (typeof resolved === "number") return resolved;
    check(resolved.toString("latin1"));
    // Not by the name that was given: it could lead elsewhere by now.
    return this.#spawn(paths.putBytes(0, resolved, 0, resolved.length));
  }

  #spawn(path: number): number {
    const result = this.#spawnAs(path, this.#argv.address);
    if (result !== -E.ENOEXEC) return result;
    // A script without its interpreter's name is the shell's, as for execvp(3).
    const { order, region } = this.#options;
    const first = region.bytes.indexOf(0, order.argvStart) + 1;
    const rest = region.bytes.subarray(first, order.envStart);
    const shell = cstring(SHELL);
    const argv = stringArray(rest, region.address + first, [shell, path]);
    const pid = this.#spawnAs(shell, argv.address);
    free(argv);
    return pid;
  }

  #spawnAs(path: number, argv: number): number {
    const { order, fds, acting } = this.#options;
    const { head } = order;
    const result = spawn({
      program: { path },
      argv,
      envp: this.#envp.address,
      cwdFd: this.#cwdFd,
      umask: head.umask,
      ...acting.identity(head),
      limits: acting.limits(head.limits),
      cgroupFds: [],
      fds,
      blocked: toBits(head.blocked),
      ignored: toBits(head.ignored),
    });
    return typeof result === "number" ? result : -result.errno;
  }

  #asCaller(fn: () => number): number {
    const { acting, order } = this.#options;
    return acting.as(order.head, fn);
  }

  /** The path, free of symbolic links, of what is at `path`; or -errno. */
  #resolve(path: number): Buffer | number {
    const fd = this.#asCaller(() => openat(this.#cwdFd, path, O_PATH | O_CLOEXEC, 0));
    if (fd < 0) return fd;
    try {
      return readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" });
    } finally {
      close(fd);
    }
  }
}

/** A path with its NUL (linux/limits.h). */
const PATH_MAX = 4096;

function toBits([low, high]: SignalSet): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/**
 * Finds a program as a shell would, with the caller's PATH, directory and rights, and starts
 * it: 127 and 126 and their sentences are those of dash(1).
 *
 * Where rules say what may be run, a program is opened first, as the user that it would run as,
 * and what was opened is what rules are asked about and what is executed: whoever exchanges
 * files or links meanwhile changes nothing. Its name is used again only where nobody but root and that user
 * could change what has it, for a script finds itself and ps(1) shows a program by its name.
 */
import type { ChildFd } from "../../sys/child.ts";
import { PathBuffer } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { free, type Region } from "../../sys/memory.ts";
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
import { canExecute, canExecuteFd, stringArray } from "../../sys/spawn.ts";
import { PROGRAM_FD_MAX } from "../../wire/limits.ts";
import type { Order, OrderHead } from "../order.ts";
import type { Acting } from "./acting.ts";
import { attempt, type Target } from "./attempt.ts";
import { isSettled, pathOf } from "./pathname.ts";
import { matches } from "./patterns.ts";
import type { Grant, Granted } from "./rules.ts";

/** Where execvp(3) looks without a PATH. */
const DEFAULT_PATH = "/bin:/usr/bin";
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/** Why a program was not started: the exit code and a sentence. */
export interface NotStarted {
  readonly code: number;
  readonly sentence: string;
}

/** A program that was started, and by what. */
export interface Started {
  readonly pid: number;
  readonly grant: Grant;
}

/** What is to be started: an order whose bytes lie in a region. */
export interface StartOptions {
  readonly order: Order;
  readonly region: Region;
  readonly granted: Granted;
  readonly acting: Acting;
  /** The number of the client among its own. */
  readonly clientPid: number;
  /** Its descriptors, once it is known who it is; asked again for a further attempt. */
  readonly fds: (head: OrderHead) => readonly ChildFd[] | NotStarted;
}

const paths = new PathBuffer(2);

/** Starts it; or why not. */
export function start(options: StartOptions): Started | NotStarted {
  const starter = new Starter(options);
  try {
    return starter.start();
  } finally {
    starter.free();
  }
}

/** Somebody in a directory, who looks for programs. */
interface Stance {
  readonly head: OrderHead;
  /** Or the -errno of entering that. */
  readonly cwdFd: number;
  /** What was found at the path that is tried; or -errno. */
  found: Found | number | undefined;
}

interface Found {
  readonly fd: number;
  /** See pathOf. */
  readonly path: string;
}

class Starter {
  readonly #options: StartOptions;
  readonly #name: string;
  readonly #argv: Region;
  readonly #stances = new Map<string, Stance>();

  constructor(options: StartOptions) {
    this.#options = options;
    const { order, region } = options;
    const { argvStart, envStart } = order;
    const { bytes, address } = region;
    this.#name = bytes.latin1Slice(argvStart, bytes.indexOf(0, argvStart));
    this.#argv = stringArray(bytes.subarray(argvStart, envStart), address + argvStart);
  }

  /** Tries what the name may mean, in turn. */
  start(): Started | NotStarted {
    let errno: number = E.ENOENT;
    for (const path of this.#candidates()) {
      const result = this.#try(path);
      this.#forget();
      if (typeof result !== "number") return result;
      if (this.#name.includes("/")) return this.#reason(-result);
      if (result === -E.EACCES) errno = E.EACCES;
      else if (result !== -E.ENOENT && result !== -E.ENOTDIR && result !== -E.ENAMETOOLONG) {
        return this.#reason(-result);
      }
    }
    return this.#reason(errno);
  }

  free(): void {
    free(this.#argv);
    this.#forget();
    for (const { cwdFd } of this.#stances.values()) if (cwdFd >= 0) close(cwdFd);
  }

  #candidates(): string[] {
    if (this.#name === "") return [];
    if (this.#name.includes("/")) return [this.#name];
    const directories = this.#searchPath().split(":");
    return directories.map((one) => (one === "" ? this.#name : `${one}/${this.#name}`));
  }

  #searchPath(): string {
    const { order, region } = this.#options;
    const env = region.bytes.latin1Slice(order.envStart, order.end);
    const at = env.startsWith("PATH=") ? 0 : env.indexOf("\0PATH=") + 1;
    if (at === 0 && !env.startsWith("PATH=")) return DEFAULT_PATH;
    return env.slice(at + "PATH=".length, env.indexOf("\0", at));
  }

  /** Starts what is at `path`, or says why it may not be; the -errno where there is nothing to start. */
  #try(path: string): Started | NotStarted | number {
    if (path.length > PATH_MAX) return -E.ENAMETOOLONG;
    const { grants, own } = this.#options.granted;
    for (const grant of grants) {
      const stance = this.#stance(grant.head);
      if (grant.rule === undefined) return this.#startNamed(grant, stance, path);
      const found = this.#look(stance, path);
      if (typeof found === "number" || !matches(grant.rule.program, found.path)) continue;
      if (grant.programs?.some((pattern) => matches(pattern, found.path)) === false) continue;
      if (grant.refused !== undefined) return this.#refusal(grant.refused);
      return stance.cwdFd < 0 ? noDirectory(stance) : this.#startFound(grant, stance, found);
    }
    const stance = this.#stance(own);
    if (stance.cwdFd < 0) return noDirectory(stance);
    const found = this.#look(stance, path);
    return typeof found === "number" ? found : this.#notAllowed(found);
  }

  #stance(head: OrderHead): Stance {
    const { uid, gid, groups, cwd } = head;
    const key = [uid, gid, ...groups, Buffer.from(cwd).toString("latin1")].join(":");
    const known = this.#stances.get(key);
    if (known !== undefined) return known;
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    const path = paths.putBytes(0, cwd, 0, cwd.length);
    const { acting } = this.#options;
    const cwdFd = acting.as(head, () => openat(AT_FDCWD, path, flags, 0));
    const stance: Stance = { head, cwdFd, found: undefined };
    this.#stances.set(key, stance);
    return stance;
  }

  /** What somebody who is there and may execute it finds at `path`, opened. */
  #look(stance: Stance, path: string): Found | number {
    if (stance.found !== undefined) return stance.found;
    const { head, cwdFd } = stance;
    if (cwdFd < 0 && !path.startsWith("/")) return cwdFd;
    const address = paths.putLatin1(0, path);
    const opened = this.#options.acting.as(head, () => {
      const fd = openat(cwdFd < 0 ? AT_FDCWD : cwdFd, address, O_PATH | O_CLOEXEC, 0);
      const result = fd < 0 ? fd : canExecuteFd(fd);
      if (result < 0 && fd >= 0) close(fd);
      return result < 0 ? result : fd;
    });
    stance.found = opened < 0 ? opened : asFound(opened);
    return stance.found;
  }

  /** Closes what was found at a path. */
  #forget(): void {
    for (const stance of this.#stances.values()) {
      if (typeof stance.found === "object") close(stance.found.fd);
      stance.found = undefined;
    }
  }

  /** Without a rule: by the name that the client has given. */
  #startNamed(grant: Grant, stance: Stance, path: string): Started | NotStarted | number {
    const { head, cwdFd } = stance;
    if (cwdFd < 0) return noDirectory(stance);
    const address = paths.putLatin1(0, path);
    const found = this.#options.acting.as(head, () => canExecute(cwdFd, address));
    if (found < 0) return found;
    return this.#spawn(grant, stance, { program: { path: address }, script: path });
  }

  #startFound(grant: Grant, stance: Stance, { fd, path }: Found): Started | NotStarted | number {
    if (isSettled(path, grant.head.uid)) {
      const address = paths.putLatin1(0, path);
      return this.#spawn(grant, stance, { program: { path: address }, script: path });
    }
    const script = `/dev/fd/${fd}`;
    const result = this.#spawn(grant, stance, { program: { fd }, script });
    // So says the kernel of a script that its interpreter would not find.
    if (result !== -E.ENOENT) return result;
    return this.#spawn(grant, stance, { program: { fd }, keptFd: fd, script });
  }

  #spawn(grant: Grant, stance: Stance, target: Target): Started | NotStarted | number {
    const fds = this.#options.fds(grant.head);
    if ("code" in fds) return fds;
    const { order, region, acting, clientPid } = this.#options;
    const { cwdFd } = stance;
    const common = { order, region, acting, clientPid, grant, cwdFd, fds, argv: this.#argv };
    const result = attempt(common, target);
    if (typeof result === "number") return result < 0 ? result : { pid: result, grant };
    return this.#refusal(result);
  }

  get #asked(): string {
    return Buffer.from(this.#name, "latin1").toString();
  }

  #reason(errno: number): NotStarted {
    const isMissing = errno === E.ENOENT || errno === E.ENOTDIR;
    const isUnreachable = errno === E.ELOOP || errno === E.ENAMETOOLONG;
    return {
      code: isMissing || isUnreachable ? NOT_FOUND : CANNOT_EXECUTE,
      sentence: `${this.#asked}: ${isMissing ? "not found" : errnoText(errno)}`,
    };
  }

  #refusal(why: string): NotStarted {
    return { code: CANNOT_EXECUTE, sentence: `${this.#asked}: ${why}` };
  }

  #notAllowed({ path }: Found): NotStarted {
    const { withOtherArgs } = this.#options.granted;
    const isAllowed = withOtherArgs.some((pattern) => matches(pattern, path));
    const what = path === "" ? "this" : Buffer.from(path, "latin1").toString();
    const how = isAllowed ? " with these arguments" : "";
    return this.#refusal(`the rexec-server does not allow ${what}${how}`);
  }
}

/** A path with its NUL (linux/limits.h). */
const PATH_MAX = 4096;

/** What was opened, under a number that no descriptor of the program's can have. */
function asFound(opened: number): Found | number {
  const fd = fcntlInt(opened, F_DUPFD_CLOEXEC, PROGRAM_FD_MAX + 1);
  close(opened);
  return fd < 0 ? fd : { fd, path: pathOf(fd) };
}

function noDirectory({ head, cwdFd }: Stance): NotStarted {
  const where = Buffer.from(head.cwd).toString();
  const sentence = `cannot be in ${where} there: ${errnoText(-cwdFd)} (see --cwd)`;
  return { code: CANNOT_EXECUTE, sentence };
}

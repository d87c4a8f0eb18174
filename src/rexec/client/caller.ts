/**
 * What a program that is started here would be given by this process: read from /proc, for
 * the runtime decodes, forgets or has changed it.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { getLimit, type Limit, Resource, RLIMIT_COUNT, UNLIMITED } from "../../sys/limits.ts";
import { SIGPIPE, SIGXFSZ } from "../../sys/signals.ts";
import type { OrderHead, SignalSet } from "../order.ts";

export type Caller = Pick<
  OrderHead,
  "cwd" | "uid" | "gid" | "groups" | "umask" | "blocked" | "ignored" | "limits"
>;

/** What the runtime ignores itself, whatever was so before. */
const IGNORED_BY_RUNTIME = [SIGPIPE, SIGXFSZ];
const NUL = 0;

export function readCaller(): Caller {
  const status = readFileSync("/proc/self/status", "latin1");
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "";
  // Real, effective, saved, of files.
  const effective = (name: string) => Number(field(name).split(/\s+/)[1]);
  const numbers = field("Groups").split(" ").filter(Boolean).map(Number);
  return {
    cwd: readlinkSync("/proc/self/cwd", { encoding: "buffer" }),
    uid: effective("Uid"),
    gid: effective("Gid"),
    groups: numbers,
    umask: Number.parseInt(field("Umask"), 8),
    blocked: signals(field("SigBlk")),
    ignored: signals(field("SigIgn"), IGNORED_BY_RUNTIME),
    limits: readLimits(),
  };
}

/** A set as /proc has it, without those named. */
function signals(hex: string, without: readonly number[] = []): SignalSet {
  let low = Number.parseInt(hex.slice(-8), 16);
  for (const signal of without) low &= ~(1 << (signal - 1));
  return [low >>> 0, Number.parseInt(hex.slice(0, -8), 16)];
}

function readLimits(): Limit[] {
  const limits: Limit[] = [];
  for (let resource = 0; resource < RLIMIT_COUNT; resource++) {
    const limit = getLimit(0, resource);
    if (typeof limit === "number") return limits;
    limits.push(resource === Resource.NOFILE ? beforeRuntime(limit) : limit);
  }
  return limits;
}

/** The runtime has raised the soft limit of descriptors at its start: what it was, our parent tells. */
function beforeRuntime(limit: Limit): Limit {
  const [soft, hard] = limit;
  const ofParent = getLimit(process.ppid, Resource.NOFILE);
  if (typeof ofParent === "number" || soft !== hard || ofParent[0] === UNLIMITED) return limit;
  return [Math.min(ofParent[0], hard), hard];
}

/** The words of the command line, byte for byte. */
export function readWords(): Buffer[] {
  return split(readFileSync("/proc/self/cmdline"));
}

/** The environment, byte for byte: without the variables named, and with `set` (NAME=value). */
export function readEnvironment(without: readonly string[], set: readonly Buffer[]): Buffer {
  const gone = new Set([...without, ...set.map(nameOf)]);
  const kept = split(readFileSync("/proc/self/environ")).filter((one) => !gone.has(nameOf(one)));
  return join([...kept, ...set]);
}

function nameOf(variable: Buffer): string {
  const equals = variable.indexOf("=");
  return variable.toString("latin1", 0, equals < 0 ? variable.length : equals);
}

function split(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = bytes.indexOf(NUL); at >= 0; at = bytes.indexOf(NUL, start)) {
    parts.push(bytes.subarray(start, at));
    start = at + 1;
  }
  return parts;
}

/** One behind the other, each with its NUL. */
export function join(parts: readonly Buffer[]): Buffer {
  const nul = Buffer.alloc(1);
  return Buffer.concat(parts.flatMap((part) => [part, nul]));
}

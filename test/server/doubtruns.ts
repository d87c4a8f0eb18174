/**
 * One request, by processes that are killed at each store that tells the next one
 * what was done, each time in a fresh directory: what comes of it in the end.
 */
import { expect } from "bun:test";
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenFlag } from "../../src/wire/constants.ts";
import type { OpName } from "../../src/wire/ops.ts";
import { attributesOf } from "../support/attributes.ts";
import type { Reply } from "../support/client.ts";
import type { Place, Request, Rig } from "./doubtrig.ts";

export const READ_WRITE = OpenFlag.READ | OpenFlag.WRITE;
/** Longer than two of the clock's ticks: what was made before is not as young as a request. */
export const OLD_MS = 25;

const LAST = "before the answer is kept";

/** Where a process dies: there, or after so many places. */
type Death = Place | number;

/** Where one run of a request takes place. */
export interface Where {
  readonly path: string;
  readonly node: number;
  readonly file: (name: string, text?: string) => string;
  readonly lookup: (name: string) => Promise<number>;
  readonly open: (name: string, flags?: number) => Promise<number>;
}

let made = 0;

async function place(rig: Rig): Promise<Where> {
  const { path, node } = await rig.directory(`place-${made++}`);
  const lookup = (name: string) => rig.lookup(name, node);
  return {
    path,
    node,
    lookup,
    file: (name, text = name) => {
      writeFileSync(join(path, name), text, { mode: 0o600 });
      return join(path, name);
    },
    open: async (name, flags = READ_WRITE) =>
      (await rig.ok("OPEN", await lookup(name), flags, 0))[0] as number,
  };
}

/** All that a directory of the HOST has, as text. */
function contents(path: string): string[] {
  return readdirSync(path).flatMap((name) => {
    const at = join(path, name);
    const stat = lstatSync(at);
    const own = [name, stat.mode.toString(8), stat.nlink, stat.uid, stat.gid].join(" ");
    if (stat.isDirectory()) return [own, ...contents(at).map((line) => `${name}/${line}`)];
    if (stat.isSymbolicLink()) return [`${own} -> ${readlinkSync(at)}`];
    if (stat.isFile()) return [`${own} ${Bun.hash(readFileSync(at))} ${stat.size}`];
    return [`${own} ${stat.rdev}`];
  });
}

/** What of an answer does not depend on when and where it was given. */
function answered(op: OpName, { errno, results, payload }: Reply): unknown {
  const stable = (from: number) => {
    const { mode, nlink, size, uid, gid, rdev } = attributesOf(results, from);
    return [mode, nlink, size, uid, gid, rdev];
  };
  if (errno !== 0) return [errno];
  if (["MKDIR", "MKNOD", "SYMLINK", "LINK", "SOCKET_BIND"].includes(op))
    return [stable(1), stable(17)];
  if (op === "CREATE") return [stable(1), results[18], stable(19)];
  if (op === "TMPFILE") return [stable(1), results[18]];
  if (op === "RENAME") return [stable(0), stable(16)];
  if (["SETATTR", "UNLINK", "RMDIR"].includes(op)) return [stable(0)];
  if (op === "OPEN") return [];
  return [results, String(payload)];
}

/** What the session has: of its own directory, whatever was left by the places before. */
function held(rig: Rig) {
  const { handles, locks, nodes } = rig.tree;
  const lookups = nodes.lookups.reduce((sum, count) => sum + count, 0);
  const ranges = locks.rows.all().map(({ range }) => `${range.start} ${range.end} ${range.type}`);
  const flocks = handles.flock.reduce((sum, type) => sum + type, 0);
  return { nodes: nodes.count, lookups, handles: handles.count, ranges, flocks };
}

/** Lets go of all that a run has made, for the next one to find the session as it was. */
function forgetAll(rig: Rig): void {
  const { handles, nodes } = rig.tree;
  for (let handle = 1; handle < handles.fd.length; handle++) {
    if (handles.has(handle)) rig.tree.release(handle);
  }
  for (let row = 2; row < nodes.rows; row++) {
    const count = nodes.lookups[row] as number;
    if (count > 0) rig.tree.forget(row, count);
  }
}

interface Outcome {
  answer: unknown;
  tree: string[];
  held: ReturnType<typeof held>;
  more: unknown;
}

/** Whether the handle in an answer is of use, where there is one. */
async function usable(
  rig: Rig,
  op: OpName,
  { errno, results }: Reply,
): Promise<boolean | undefined> {
  const at = op === "OPEN" ? 0 : op === "CREATE" || op === "TMPFILE" ? 17 : undefined;
  if (at === undefined || errno !== 0) return undefined;
  return (await rig.call("POLL", [results[at] as number, 0, 0n])).errno === 0;
}

/** Anything else that a request may have changed. */
export type More = (where: Where) => Promise<unknown>;
/** Makes what a request needs, and the request. */
export type Prepare = (where: Where) => Promise<Request>;

/** What stays behind of a process that dies after it opened a file and before it noted its handle. */
const LEFT: Partial<Record<OpName, { handles: number; nodes: number }>> = {
  CREATE: { handles: 1, nodes: 0 },
  OPEN: { handles: 1, nodes: 0 },
  // The file is gone, and its handle stale.
  TMPFILE: { handles: 1, nodes: 1 },
};

export class Runs {
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  /**
   * Runs a request that is killed wherever it can be, and compares what came of it
   * with what comes of one that is not. `least`: places where it can be killed.
   */
  async everywhere(prepare: Prepare, least: number, more?: More): Promise<void> {
    const [whole] = await this.#run(prepare, more, []);
    let places = 0;
    for (let killed = true; killed; places++) {
      killed = await this.#compare(prepare, more, [places], whole);
    }
    expect(places - 1).toBeGreaterThanOrEqual(least);
    for (const first of ["begun", LAST] as const) {
      expect(await this.#compare(prepare, more, [first, LAST], whole)).toBe(true);
    }
  }

  async #compare(
    prepare: Prepare,
    more: More | undefined,
    deaths: readonly Death[],
    whole: Outcome,
  ): Promise<boolean> {
    const [outcome, killed] = await this.#run(prepare, more, deaths);
    const { diedAt } = this.#rig;
    expect({ deaths, diedAt, ...outcome }).toEqual({ deaths, diedAt, ...whole });
    return killed;
  }

  /** Whether it died at all of `deaths`, the first of which is of its first run. */
  async #run(
    prepare: Prepare,
    more: More | undefined,
    deaths: readonly Death[],
  ): Promise<[Outcome, boolean]> {
    const rig = this.#rig;
    const where = await place(rig);
    const request = await prepare(where);
    const [op, args, payload] = request;
    await Bun.sleep(OLD_MS);
    let reply = deaths.length === 0 ? await rig.call(op, args, payload) : undefined;
    for (const [i, death] of deaths.entries()) {
      const send = i === 0 ? rig.callKilled(request, death) : rig.repeatKilled(request, death);
      reply = await send;
      if (reply !== undefined) break;
    }
    const killed = reply === undefined;
    reply ??= await rig.repeat(request);
    const rest = [await usable(rig, op, reply), await more?.(where)];
    const has = held(rig);
    const left = killed && rig.diedAt === "before a note" ? LEFT[op] : undefined;
    has.handles -= left?.handles ?? 0;
    has.nodes -= left?.nodes ?? 0;
    forgetAll(rig);
    return [
      { answer: answered(op, reply), tree: contents(where.path), held: has, more: rest },
      killed,
    ];
  }
}

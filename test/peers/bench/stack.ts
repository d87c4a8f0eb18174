/** One running contestant: its server, its mount, its tree. */
import { existsSync } from "node:fs";
import type { Contestant, Mode, Place, ServerPlan } from "./contestants/types.ts";
import { abort, raiseReadahead, unmount } from "./mounts.ts";
import type { Pool } from "./pool.ts";
import { type Daemon, end, marked, residentMiB, signal, startDaemon } from "./processes.ts";
import type { Scratch } from "./scratch.ts";
import { copyTree } from "./tree.ts";

const START_TIMEOUT_MS = 15_000;
const END_GRACE_MS = 3000;

/** Resident memory of the two sides of a stack, in MiB. */
export interface Memory {
  readonly mount: number;
  readonly server: number;
}

/** What stacks share in a run. */
export interface Ground {
  readonly scratch: Scratch;
  readonly template: string;
  readonly pool: Pool;
  /** Aborted when the run was interrupted: nothing may be started any more. */
  readonly interrupted: AbortSignal;
}

/** Nothing can be measured of a contestant that does not start. */
export class StartError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause));
  }
}

export class Stack {
  /** Milliseconds from exec to the first answer; undefined without such a daemon. */
  readonly mountStartMs: number | undefined;
  readonly serverStartMs: number | undefined;
  /** Where the loads go. */
  readonly root: string;
  readonly #mark: string;
  readonly #target: string;

  private constructor(
    readonly contestant: Contestant,
    place: Place,
    mark: string,
    started: { mountMs: number | undefined; serverMs: number | undefined },
  ) {
    this.#mark = mark;
    this.#target = place.target;
    this.root = contestant.mount ? place.target : place.tree;
    this.mountStartMs = started.mountMs;
    this.serverStartMs = started.serverMs;
  }

  /** Starts the server, then the mount, each until it answers. */
  static async start(ground: Ground, contestant: Contestant, mode: Mode): Promise<Stack> {
    const { scratch } = ground;
    const { name } = contestant;
    const tree = mode === "proc" ? "/proc" : await ensureTree(ground, contestant);
    const place: Place = {
      mode,
      tree,
      target: scratch.directory("mnt", `${name}.${mode}`),
      files: scratch.directory("files", name),
      port: freePort(),
    };
    const mark = `${scratch.path}:${name}.${mode}`;
    const log = `${scratch.directory("log")}/${name}.${mode}`;
    try {
      await contestant.prepare?.(place.files);
      const server = contestant.server?.(place);
      ground.interrupted.throwIfAborted();
      const serverMs = server && (await startServer(server, `${mark}:server`, `${log}.server`));
      const mount = contestant.mount?.(place);
      ground.interrupted.throwIfAborted();
      const mountMs =
        mount && (await startMount(ground.pool, mount, place.target, mark, `${log}.mount`));
      if (contestant.holdsTree) {
        raiseReadahead(place.target);
        await copyTree(ground.template, place.target);
      }
      return new Stack(contestant, place, mark, { mountMs, serverMs });
    } catch (error) {
      await endStack(mark, place.target);
      throw new StartError(error);
    }
  }

  memory(): Memory {
    return {
      mount: residentMiB(marked(`${this.#mark}:mount`)),
      server: residentMiB(marked(`${this.#mark}:server`)),
    };
  }

  /** Sets everybody free who waits in the mount; the stack is of no use afterwards. */
  kill(): void {
    signal(marked(`${this.#mark}:`), "SIGKILL");
    abort(this.#target);
  }

  stop(): Promise<void> {
    return endStack(this.#mark, this.#target);
  }
}

/** The tree that a contestant exports, copied from the template at first. */
export async function ensureTree(ground: Ground, contestant: Contestant): Promise<string> {
  const tree = ground.scratch.directory("trees", contestant.name);
  const filled = contestant.holdsTree || existsSync(`${tree}/small`);
  if (!filled) await copyTree(ground.template, tree);
  return tree;
}

async function endStack(mark: string, target: string): Promise<void> {
  await unmount(target);
  await end(marked(`${mark}:`), END_GRACE_MS);
  await unmount(target);
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

async function accepts(listens: ServerPlan["listens"]): Promise<boolean> {
  const socket = { data() {} };
  try {
    const connection =
      "unix" in listens
        ? await Bun.connect({ unix: listens.unix, socket })
        : await Bun.connect({ hostname: "127.0.0.1", port: listens.port, socket });
    connection.end();
    return true;
  } catch {
    return false;
  }
}

/** Rejects when the daemon ends, with what it said. */
async function endOf(daemon: Daemon, command: string[]): Promise<never> {
  const code = await daemon.exited;
  throw new Error(`${command.join(" ")}: exit ${code}: ${daemon.log() || "it said nothing"}`);
}

async function startServer(plan: ServerPlan, mark: string, log: string): Promise<number> {
  const startMs = performance.now();
  const daemon = startDaemon(plan.command, mark, log);
  const ended = endOf(daemon, plan.command);
  const ready = async () => {
    while (!(await accepts(plan.listens))) {
      if (performance.now() - startMs > START_TIMEOUT_MS) {
        throw new Error(`${plan.command.join(" ")}: does not listen: ${daemon.log()}`);
      }
      await Bun.sleep(1);
    }
  };
  await Promise.race([ready(), ended]);
  ended.catch(() => {});
  return performance.now() - startMs;
}

async function startMount(
  pool: Pool,
  command: string[],
  target: string,
  mark: string,
  log: string,
): Promise<number> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let timer: Timer | undefined;
  const start = () => {
    const daemon = startDaemon(command, `${mark}:mount`, log);
    timer = setTimeout(() => {
      process.kill(daemon.pid, "SIGKILL");
      abort(target);
    }, START_TIMEOUT_MS);
    endOf(daemon, command).catch(failed.reject);
    return failed.promise;
  };
  try {
    return await pool.mounted(target, start);
  } finally {
    clearTimeout(timer);
  }
}

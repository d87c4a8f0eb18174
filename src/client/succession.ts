/** Who takes the mount over should this process die: a keeper, or what the service manager stores. */

import { type Guardian, Keeper, type Kept } from "./keeper.ts";
import type { MountOptions } from "./options.ts";
import type { Settings } from "./settings.ts";

/** How often a mount may be taken over in a short time: one that dies at once each time is given up. */
const TAKEOVERS_MAX = 10;
const TAKEOVERS_WITHIN_MS = 10_000;
/** A keeper that lived shorter than this was no use: the next one comes later, each time twice as late. */
const KEEPER_LIVES_MS = 5_000;
const AGAIN_FIRST_MS = 10;
const AGAIN_LAST_MS = 60_000;
/** How long a process lives on that has handed over, to say so. */
const HAND_OVER_MS = 100;

/** When the mount was taken over of late, this time too; throws where that was too often. */
export function countTakeover({ takeoversMs, options }: Settings): number[] {
  const since = Date.now() - TAKEOVERS_WITHIN_MS;
  const all = [...takeoversMs.filter((ms) => ms > since), Date.now()];
  if (all.length <= TAKEOVERS_MAX) return all;
  throw new Error(
    `Gave up the mount at ${options.target}: its process has died ${TAKEOVERS_MAX} ` +
      `times in ${TAKEOVERS_WITHIN_MS / 1000} s (umount ${options.target})`,
  );
}

export class Succession {
  readonly #options: Pick<MountOptions, "successor" | "store" | "log">;
  /** What the next process needs, once there is anything to hold. */
  readonly #own: () => Kept | undefined;
  #guardian: Guardian | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** How long after the next early end another keeper is started; 0: at once. */
  #againMs = 0;
  #again: Timer | undefined;

  constructor(
    options: Pick<MountOptions, "successor" | "store" | "log">,
    own: () => Kept | undefined,
  ) {
    this.#options = options;
    this.#own = own;
  }

  /** Whether somebody holds the mount. */
  get isKept(): boolean {
    return this.#guardian !== undefined;
  }

  /** The keeper's process; undefined where there is none, or the service manager starts one. */
  get pid(): number | undefined {
    return this.#guardian?.pid;
  }

  /** Has somebody hold the mount, if there is anybody who may take it over. */
  keep(command = this.#options.successor): void {
    const { store, log } = this.#options;
    const own = this.#own();
    if (own === undefined || (store === undefined && command.length === 0)) return;
    const before = this.#guardian;
    clearTimeout(this.#again);
    this.#startedMs = performance.now();
    try {
      this.#guardian = store?.(own) ?? new Keeper(command, own, () => this.#lost());
    } catch (error) {
      const why = (error as Error).message;
      log("warn", `The mount has no keeper, it ends with this process: ${why}`);
      return;
    }
    before?.dismiss();
  }

  /** The keeper has ended, though nobody told it to. */
  #lost(): void {
    const { log } = this.#options;
    const isEarly = performance.now() - this.#startedMs < KEEPER_LIVES_MS;
    if (!isEarly) this.#againMs = 0;
    const waitMs = this.#againMs;
    this.#againMs = Math.min(Math.max(2 * waitMs, AGAIN_FIRST_MS), AGAIN_LAST_MS);
    if (waitMs === 0) {
      log("warn", "The mount's keeper was killed, starting another");
      this.keep();
      return;
    }
    // Until then nobody holds the mount but this process.
    this.#guardian = undefined;
    log("warn", `The mount's keeper has ended again, starting another in ${waitMs / 1000} s`);
    this.#again = setTimeout(() => this.keep(), waitMs);
    this.#again.unref();
  }

  /** Lets `command` take over, and ends this process soon: its callers wait meanwhile. */
  handOver(command: readonly string[]): number {
    if (this.#options.store === undefined) this.keep(command);
    const successor = this.pid;
    if (successor === undefined) throw new Error("This mount has no keeper to hand over to");
    setTimeout(() => process.kill(process.pid, "SIGKILL"), HAND_OVER_MS);
    return successor;
  }

  /** The mount has ended: nobody is to take over. */
  dismiss(): void {
    clearTimeout(this.#again);
    this.#guardian?.dismiss();
  }
}

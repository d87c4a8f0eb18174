/** Which processes of this machine belong together: what a caller sees of them as its own. */
import { numbersAsWeDo, Placements, processes, processOf } from "./threads.ts";

export class Kin {
  readonly #placements: Placements;

  /** `device`: the mount's, as mountinfo writes it; undefined where it is mounted no more. */
  constructor(device: string | undefined) {
    this.#placements = new Placements(device);
  }

  /** Process of the thread `tid`, or 0 where there is no such thread. */
  processOf(tid: number): number {
    return processOf(tid);
  }

  /** Whether the thread `tid` numbers processes as we do: it is in our PID namespace. */
  numbersAsWeDo(tid: number): boolean {
    return numbersAsWeDo(tid);
  }

  /** Whether the process (or thread) `pid` of this machine belongs with the caller `tid`. */
  has(pid: number, tid: number): boolean {
    const process = processOf(pid);
    if (process === 0) return false;
    if (process === processOf(tid)) return true;
    return this.#isAtHome(tid) && this.#placements.of(pid)?.isHome === true;
  }

  /** The processes that belong with `tid`, by number. */
  all(tid: number): number[] {
    if (tid === 0) return [];
    if (!this.#isAtHome(tid)) return [processOf(tid)].filter((pid) => pid !== 0);
    const own = processes().filter((pid) => this.#placements.of(pid)?.isHome === true);
    return own.sort((a, b) => a - b);
  }

  /** Path of this machine's procfs for `tid`; undefined without one in reach. */
  procfsOf(tid: number): string | undefined {
    return this.#placements.of(tid)?.procfs;
  }

  /** What that procfs calls the process `pid`; undefined where it may have another of that number. */
  nameOf(pid: number, tid: number): string | undefined {
    if (pid === 0) return undefined;
    if (numbersAsWeDo(tid)) return String(pid);
    return processOf(pid) === processOf(tid) ? "self" : undefined;
  }

  /** Whether the mount is the caller's /proc, and our numbers of processes are the caller's. */
  #isAtHome(tid: number): boolean {
    return this.#placements.of(tid)?.isHome === true && numbersAsWeDo(tid);
  }
}

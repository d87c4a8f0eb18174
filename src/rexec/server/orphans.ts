/**
 * What a rexec-server knows of its keeper's programs, for the case that the keeper is killed:
 * then they are nobody's children, and their pipes have lost the other ends. Those that were
 * to end with their clients are ended; the others are told of until they have ended.
 */
import type { Loop } from "../../bridge/loop.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { kill, pidfdOpen } from "../../sys/process.ts";
import { SIGKILL } from "../../sys/signals.ts";
import type { ProgramReport } from "./register.ts";

/** How a program has ended of which nobody can know. */
const UNKNOWN = { code: -1, signal: 0 };

export class Orphans {
  readonly #loop: Loop;
  readonly #changed: (report: ProgramReport) => void;
  /** Programs that run, and a pidfd of each. */
  readonly #running = new Map<number, { report: ProgramReport; pidfd: number }>();

  /** `changed` is told when one of which the keeper cannot tell any more has ended. */
  constructor(loop: Loop, changed: (report: ProgramReport) => void) {
    this.#loop = loop;
    this.#changed = changed;
  }

  /** The keeper tells of a program. */
  heard(report: ProgramReport): void {
    const known = this.#running.get(report.pid);
    if (report.ending === undefined) {
      if (known === undefined) {
        this.#running.set(report.pid, { report, pidfd: pidfdOpen(report.pid) });
      }
    } else if (known?.report.id === report.id) {
      this.#running.delete(report.pid);
      if (known.pidfd >= 0) close(known.pidfd);
    }
  }

  /** The keeper was killed: how many programs are ended for that, and how many go on. */
  orphaned(): { ended: number; left: number } {
    let ended = 0;
    const all = [...this.#running.values()];
    this.#running.clear();
    for (const { report, pidfd } of all) {
      const over = () => {
        this.#changed({ ...report, connected: false, ending: { ...UNKNOWN, atMs: Date.now() } });
      };
      if (pidfd < 0) {
        over();
        continue;
      }
      if (!report.outlives) {
        ended++;
        // The number is still its process group's, as long as it is there itself.
        kill(-report.pid, SIGKILL);
      }
      this.#loop.add(pidfd, EPOLLIN, {
        onEvents: () => {
          this.#loop.remove(pidfd);
          close(pidfd);
          over();
        },
      });
    }
    return { ended, left: all.length - ended };
  }
}

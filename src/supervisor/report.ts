/** What a supervisor says of itself. */
import type { CallFigures } from "./tally.ts";

export interface SupervisorSnapshot {
  /** The program that was started; others that it has started are supervised, too. */
  program: { pid: number; command: string[]; startedAt: string };
  /** Threads that look at calls. */
  threads: number;
  calls: ({ name: string } & CallFigures)[];
}

/** The command line of `scripts/bench offload`. */
import { parseArgs } from "node:util";

export const USAGE = `Usage: scripts/bench offload [options]

Measures docker and ctr with their daemons on a DPU beside the same on one machine: how long a
container takes from its command to its end, step by step, and what the HOST's processors do for it.

  --quick              one round, fewer runs
  --rounds N           rounds, one machine after the other (default 3)
  --help               this text
`;

export interface Options {
  readonly rounds: number;
  /** Of each command in a round. */
  readonly runs: number;
  readonly help: boolean;
}

/** Throws a one-line error for what it cannot make sense of. */
export function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const { quick, help } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds wants a whole number from 1 on, not "${values.rounds}"`);
  }
  return { rounds, runs: quick ? 5 : 10, help };
}

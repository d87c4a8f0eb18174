/** The command line of `scripts/bench rexec`. */
import { parseArgs } from "node:util";

export const USAGE = `Usage: scripts/bench rexec [options]

Measures qtfs rexec beside ssh with and without a shared connection, and the program itself.

  --quick              one round, fewer runs, fewer bytes
  --rounds N           rounds, interleaved over the contestants (default 3)
  --only NAME,…        these contestants: native, rexec-unix, rexec-tcp, ssh-mux, ssh
  --help               this text
`;

export interface Options {
  readonly rounds: number;
  /** Of \`true\` in a round. */
  readonly runs: number;
  /** Through one pipe. */
  readonly bytes: number;
  /** Names; empty: all. */
  readonly only: readonly string[];
  readonly help: boolean;
}

/** Throws a one-line error for what it cannot make sense of. */
export function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      only: { type: "string", default: "" },
      help: { type: "boolean", default: false },
    },
  });
  const { quick, help } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds wants a whole number from 1 on, not "${values.rounds}"`);
  }
  const only = values.only.split(",").filter(Boolean);
  return { rounds, runs: quick ? 30 : 100, bytes: quick ? 500_000_000 : 2_000_000_000, only, help };
}

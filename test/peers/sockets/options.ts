/** The command line of `scripts/bench sockets`. */
import { parseArgs } from "node:util";

export const USAGE = `Usage: scripts/bench sockets [options]

Measures unix sockets and FIFOs between two namespaced machines, beside native ones.

  --quick              one round, smaller amounts
  --rounds N           rounds, interleaved over the machines (default 3)
  --wire unix|tcp      what the two talk over (default unix)
  --help               this text
`;

/** How much is done, and over what. */
export interface Options {
  readonly rounds: number;
  readonly wire: "unix" | "tcp";
  /** Of one stream, FIFO or file. */
  readonly bytes: number;
  /** Round trips, and a tenth of them connects. */
  readonly count: number;
  readonly help: boolean;
}

/** Throws a one-line error for what it cannot make sense of. */
export function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      wire: { type: "string", default: "unix" },
      help: { type: "boolean", default: false },
    },
  });
  const { quick, wire, help } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds wants a whole number from 1 on, not "${values.rounds}"`);
  }
  if (wire !== "unix" && wire !== "tcp") throw new Error(`--wire wants unix or tcp, not "${wire}"`);
  const bytes = quick ? 100_000_000 : 500_000_000;
  return { rounds, wire, bytes, count: quick ? 2000 : 10_000, help };
}

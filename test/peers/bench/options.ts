/** The command line of scripts/bench. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Effort } from "./rows/types.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");

export const USAGE = `Usage: scripts/bench [options]
       scripts/bench supervisor             calls of programs under a supervisor
       scripts/bench sockets [options]      unix sockets and FIFOs, see its own --help
       scripts/bench links                  what carries frames: PCIe beside unix sockets

Measures qtfs, sshfs, the bare directory and a null FUSE file system side by side.

  --quick              under two minutes: one round, short cells, fewer files
  --rounds N           rounds, interleaved over the contestants (default 3)
  --rows PATTERN       only rows that match this regular expression
  --only NAME[,NAME]   only these contestants, by name or family:
                       qtfs-unix qtfs-tcp qtfs-tls bare sshfs-… floor; qtfs sshfs sftp
  --dir DIR            where the exported trees lie (default /dev/shm)
  --json FILE          where the figures go (default .cache/bench.json)
  --qtfs FILE          the executable to measure (default dist/qtfs)
  --other FILE         another build of qtfs beside it: other-unix other-tcp other-tls
  --help               this text
`;

export interface Options {
  readonly effort: Effort;
  readonly rows: RegExp;
  readonly only: string[];
  readonly directory: string;
  readonly json: string;
  readonly qtfs: string;
  readonly other: string | undefined;
  readonly help: boolean;
}

const FULL: Effort = { rounds: 3, measureMs: 400, firstWarmMs: 300, warmMs: 50, files: 2000 };
const QUICK: Effort = { rounds: 1, measureMs: 80, firstWarmMs: 60, warmMs: 20, files: 200 };

/** Throws a one-line error for what it cannot make sense of. */
export function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      rows: { type: "string", default: "" },
      only: { type: "string", default: "" },
      dir: { type: "string", default: "/dev/shm" },
      json: { type: "string", default: `${REPOSITORY}/.cache/bench.json` },
      qtfs: { type: "string", default: `${REPOSITORY}/dist/qtfs` },
      other: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const effort = values.quick ? QUICK : FULL;
  const rounds = Number(values.rounds ?? effort.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds wants a whole number from 1 on, not "${values.rounds}"`);
  }
  return {
    effort: { ...effort, rounds },
    rows: new RegExp(values.rows, "i"),
    only: values.only.split(",").filter((name) => name !== ""),
    directory: resolve(values.dir),
    json: resolve(values.json),
    qtfs: resolve(values.qtfs),
    other: values.other === undefined ? undefined : resolve(values.other),
    help: values.help,
  };
}

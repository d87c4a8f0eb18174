/** `qtfs info` */
import { formatList, formatReport } from "../info/format.ts";
import { LOG_LEVELS } from "../info/log.ts";
import { hasLostProcess } from "../info/lost.ts";
import { ask, endpoints, reports } from "../info/query.ts";
import { type DaemonReport, SCHEMA } from "../info/report.ts";
import { lost, select, Unanswered } from "../info/select.ts";
import { readAddress } from "./address.ts";
import { UsageError } from "./errors.ts";
import { program } from "./program.ts";

export const info = program({
  name: "qtfs info",
  description:
    "Shows the servers, mounts and rexec-servers of this machine: state, versions, memory, per " +
    "operation how often, how much and how fast, and what programs run. It asks their processes and never touches " +
    "a mount, so it works when a server is gone. Needs root.",
  examples: [
    { command: "qtfs info", does: "All servers and mounts, a line each." },
    { command: "qtfs info /mnt", does: "The mount that /mnt is on, with a table of operations." },
    { command: "qtfs info --json | jq .daemons", does: "The same for programs." },
    { command: "qtfs info /mnt --log-level debug", does: "Makes it say more, while it runs." },
    { command: "qtfs info /mnt --log", does: "The last lines of its log." },
  ],
  args: {
    which: {
      type: "positional",
      required: false,
      valueHint: "TARGET|ADDR|PID",
      description: "A path on a mount, a server's address, or a process. Without it: all.",
    },
    json: {
      type: "boolean",
      description:
        'Prints {"schema": 1, "daemons": [...]}; fields of a schema are added, never changed.',
    },
    log: { type: "boolean", description: "Prints the last lines of the daemon's log." },
    "log-level": {
      type: "enum",
      options: [...LOG_LEVELS],
      valueHint: "LEVEL",
      description: `Sets the daemon's log level: ${LOG_LEVELS.join(", ")}.`,
    },
  },
  run: async ({ which, json, log, "log-level": level }) => {
    if ([json, log, level].filter(Boolean).length > 1) {
      throw new UsageError("--json, --log and --log-level exclude each other");
    }
    if (which?.includes("://")) readAddress(which);
    const all = await reports();
    const chosen = which === undefined ? all : await choose(all, which);
    if (log || level !== undefined) process.stdout.write(await askOne(chosen, level));
    else if (json) process.stdout.write(toJson(chosen));
    else if (which === undefined) process.stdout.write(formatList(chosen));
    else process.stdout.write(chosen.map(formatReport).join("\n"));
    return 0;
  },
});

/** The daemons that `which` means; one that does not answer may be another's than the mount asked for. */
async function choose(all: DaemonReport[], which: string): Promise<DaemonReport[]> {
  try {
    return select(all, which);
  } catch (error) {
    const isLost = error instanceof Unanswered && (await hasLostProcess(error.target));
    throw isLost ? new Error(lost(error.target)) : error;
  }
}

function toJson(daemons: DaemonReport[]): string {
  return `${JSON.stringify({ schema: SCHEMA, daemons }, undefined, 2)}\n`;
}

/** Sets the level of the one daemon meant, or fetches its log. */
async function askOne(chosen: DaemonReport[], level: string | undefined): Promise<string> {
  const [one, another] = chosen;
  if (one === undefined) throw new Error("No qtfs server and no mount runs on this machine");
  if (another !== undefined) throw new UsageError("name one daemon: TARGET, ADDR or PID");
  const endpoint = endpoints().find(({ kind, pid }) => kind === one.kind && pid === one.pid);
  if (endpoint === undefined) throw new Error(`Process ${one.pid} has just ended`);
  if (level === undefined) {
    const { lines } = await ask(endpoint.path, { want: "log" });
    return (lines as string[]).map((line) => `${line}\n`).join("");
  }
  await ask(endpoint.path, { want: "logLevel", level });
  return `qtfs ${one.kind}, process ${one.pid}: log level ${level}\n`;
}

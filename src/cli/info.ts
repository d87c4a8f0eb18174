/** `qtfs info` */
import { constants } from "node:os";
import { CONTROL_DIRECTORY } from "../info/control.ts";
import { formatReport } from "../info/format/daemon.ts";
import { formatList } from "../info/format/list.ts";
import { LOG_LEVELS } from "../info/log.ts";
import { hasLostProcess } from "../info/lost.ts";
import { ask, endpoints, reports } from "../info/query.ts";
import { type DaemonReport, hasPrograms, SCHEMA } from "../info/report.ts";
import { lost, select, Unanswered } from "../info/select.ts";
import { SIGRTMAX } from "../sys/signals.ts";
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
    { command: "qtfs info 4711 --signal TERM", does: "Ends a program that rexec has started." },
  ],
  args: {
    which: {
      type: "positional",
      required: false,
      valueHint: "TARGET|ADDR|PID",
      description:
        "A path on a mount, a server's address, or a process; with --signal, a program's. " +
        "Without it: all.",
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
    signal: {
      type: "string",
      valueHint: "NAME",
      description:
        "Sends a signal (TERM, 15) to the process group of a program that a rexec-server has started.",
    },
  },
  run: async ({ which, json, log, "log-level": level, signal }) => {
    if ([json, log, level, signal].filter((one) => one !== undefined && one !== false).length > 1) {
      throw new UsageError("--json, --log, --log-level and --signal exclude each other");
    }
    if (signal !== undefined) {
      process.stdout.write(await signalProgram(await reports(), which, signal));
      return 0;
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

/** Signals the program that runs as process `which`, and says so. */
async function signalProgram(
  all: readonly DaemonReport[],
  which: string | undefined,
  name: string,
): Promise<string> {
  if (which === undefined || !/^\d+$/.test(which)) {
    throw new UsageError("--signal needs the process of a program, as in qtfs info 4711");
  }
  const pid = Number(which);
  const signal = readSignal(name);
  const found = all
    .filter(hasPrograms)
    .flatMap(({ programs }) => programs)
    .find((one) => one.pid === pid && one.ending === undefined);
  if (found === undefined) throw new Error(`No rexec-server has a program that runs as ${pid}`);
  const path = `${CONTROL_DIRECTORY}/rexec-keeper-${found.keeper}.sock`;
  const answer = await ask(path, { want: "signal", pid, signal });
  if (typeof answer.refused === "string") throw new Error(answer.refused);
  return `Program ${pid}: signal ${signal}\n`;
}

function readSignal(name: string): number {
  const known: Readonly<Record<string, number>> = constants.signals;
  const text = name.toUpperCase().replace(/^(SIG)?/, "SIG");
  const number = /^\d+$/.test(name) ? Number(name) : known[text];
  if (number === undefined || number < 1 || number > SIGRTMAX) {
    throw new UsageError(`"${name}" is no signal`);
  }
  return number;
}

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

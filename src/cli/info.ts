/** `qtfs info` */
import { examine } from "../info/doctor/doctor.ts";
import { formatReport } from "../info/format/daemon.ts";
import { formatFindings } from "../info/format/findings.ts";
import { formatList } from "../info/format/list.ts";
import { formatMetrics } from "../info/format/metrics.ts";
import { LOG_LEVELS } from "../info/log.ts";
import { hasLostProcess } from "../info/lost.ts";
import { reports } from "../info/query.ts";
import { type DaemonReport, SCHEMA } from "../info/report.ts";
import { lost, select, Unanswered } from "../info/select.ts";
import { watch } from "../info/watch.ts";
import { readAddress } from "./address.ts";
import { UsageError } from "./errors.ts";
import { askOne, signalProgram } from "./info-one.ts";
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
    { command: "qtfs info /mnt --watch", does: "What it is asked for, each second." },
    { command: "qtfs info --metrics", does: "All figures, as Prometheus reads them." },
    { command: "qtfs info doctor", does: "What is wrong on this machine, and what to do." },
    { command: "qtfs info /mnt --log-level debug", does: "Makes it say more, while it runs." },
    { command: "qtfs info /mnt --log", does: "The last lines of its log." },
    { command: "qtfs info 4711 --signal TERM", does: "Ends a program that rexec has started." },
  ],
  args: {
    which: {
      type: "positional",
      required: false,
      valueHint: "TARGET|ADDR|PID|doctor",
      description:
        "A path on a mount, a server's address, or a process; with --signal, a program's. " +
        "Without it: all. doctor: looks for what is wrong; exits with 1 if something does not work.",
    },
    json: {
      type: "boolean",
      description:
        'Prints {"schema": 1, "daemons": [...]}; fields of a schema are added, never changed.',
    },
    watch: {
      type: "boolean",
      description: "Shows it each second until Ctrl-C; with --json, a line each time.",
    },
    metrics: { type: "boolean", description: "Prints counters and gauges for Prometheus." },
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
  run: async ({ which, json = false, watch: again, metrics, log, "log-level": level, signal }) => {
    const asked = { json, metrics, log, "log-level": level, signal };
    const wanted = Object.entries(asked).flatMap(([name, one]) => (one ? [`--${name}`] : []));
    if (wanted.length > 1) throw new UsageError(`${wanted.join(" and ")} exclude each other`);
    if (again && wanted.length > 0 && !json) {
      throw new UsageError(`--watch and ${wanted[0]} exclude each other`);
    }
    if (which === "doctor") return await doctor(json, [...wanted, ...(again ? ["--watch"] : [])]);
    if (signal !== undefined) {
      process.stdout.write(await signalProgram(await reports(), which, signal));
      return 0;
    }
    if (which?.includes("://")) readAddress(which);
    if (again) return await watchUntilInterrupted(which, json);
    const chosen = await look(which);
    if (log || level !== undefined) process.stdout.write(await askOne(chosen, level));
    else if (json) process.stdout.write(toJson(chosen));
    else if (metrics) process.stdout.write(formatMetrics(chosen));
    else if (which === undefined) process.stdout.write(formatList(chosen));
    else process.stdout.write(chosen.map(formatReport).join("\n"));
    return 0;
  },
});

/** Says what is wrong; the exit code. */
async function doctor(json: boolean, options: readonly string[]): Promise<number> {
  const other = options.find((one) => one !== "--json");
  if (other !== undefined) throw new UsageError(`doctor takes no ${other}`);
  const findings = await examine();
  const text = `${JSON.stringify({ schema: SCHEMA, findings }, undefined, 2)}\n`;
  process.stdout.write(json ? text : formatFindings(findings));
  return findings.some(({ level }) => level === "failure") ? 1 : 0;
}

async function watchUntilInterrupted(which: string | undefined, json: boolean): Promise<number> {
  const { promise: end, resolve } = Promise.withResolvers<void>();
  process.on("SIGINT", resolve);
  process.on("SIGTERM", resolve);
  await watch(
    {
      look: () => look(which),
      form: json ? "json" : which === undefined ? "list" : "rates",
      isTerminal: process.stdout.isTTY,
      write: (text) => process.stdout.write(text),
    },
    end,
  );
  return 0;
}

/** The reports of the daemons meant. */
async function look(which: string | undefined): Promise<DaemonReport[]> {
  const all = await reports();
  return which === undefined ? all : await choose(all, which);
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

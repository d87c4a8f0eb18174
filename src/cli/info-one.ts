/** What `qtfs info` asks of one daemon, or of one program. */
import { constants } from "node:os";
import { CONTROL_DIRECTORY } from "../info/control.ts";
import { ask, endpoints } from "../info/query.ts";
import { type DaemonReport, hasPrograms } from "../info/report.ts";
import { SIGRTMAX } from "../sys/signals.ts";
import { UsageError } from "./errors.ts";

/** Signals the program that runs as process `which`, and says so. */
export async function signalProgram(
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

/** Sets the level of the one daemon meant, or fetches its log. */
export async function askOne(chosen: DaemonReport[], level: string | undefined): Promise<string> {
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

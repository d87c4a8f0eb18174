/** Programs of a rexec-server, for people. */
import type { ProgramReport } from "../../rexec/server/register.ts";
import { describeRule } from "../../rexec/server/rules.ts";
import { printable } from "../printable.ts";
import type { KeeperReport, RexecReport } from "../report.ts";
import { bytes, duration } from "../units.ts";
import { columns, type Field, fieldLine, processFields } from "./table.ts";

/** Characters that are shown of a program's words. */
export const WORDS_MAX = 100;

/** A rexec-server, and its programs: those that run, then those that have ended. */
export function formatRexec(report: RexecReport): string {
  const allowed = report.rules.map((rule): Field => ["allows", describeRule(rule)]);
  const fields: Field[] = [
    ...report.listen.map((address): Field => ["listens at", address]),
    ...(allowed.length > 0 ? allowed : [["allows", "everything"] as const]),
    ...(report.insecure ? [["insecure", "TCP clients are not authenticated"] as const] : []),
    ...processFields(report),
    ["keeper", report.keeperPid === 0 ? "none yet" : `process ${report.keeperPid}`],
  ];
  const text = fields.map(fieldLine).join("");
  return `qtfs rexec-server, process ${report.pid}\n${text}\n${programTable(report.programs)}`;
}

/** Programs whose rexec-server is gone. */
export function formatKeeper(report: KeeperReport): string {
  const text = [["rexec-server", "none: it waits for one"] as const, ...processFields(report)]
    .map(fieldLine)
    .join("");
  return `qtfs rexec-keeper, process ${report.pid}\n${text}\n${programTable(report.programs)}`;
}

function programTable(programs: readonly ProgramReport[]): string {
  if (programs.length === 0) return "No program has run yet.\n";
  const rows = programs.map((program) => [
    `${program.pid}`,
    `${program.uid}`,
    program.peer,
    programState(program),
    bytes(program.bytesIn),
    bytes(program.bytesOut),
    printable(program.words.join(" ")).slice(0, WORDS_MAX),
  ]);
  const heading = ["PID", "UID", "FOR", "STATE", "IN", "OUT", "PROGRAM"];
  return columns([heading, ...rows], [4, 5]);
}

function programState({ ending, startedMs, connected }: ProgramReport): string {
  const since = (ms: number) => duration(Math.max(0, Date.now() - ms) / 1000);
  if (ending === undefined) {
    return `runs for ${since(startedMs)}${connected ? "" : ", client away"}`;
  }
  const ago = `, ${since(ending.atMs)} ago`;
  if (ending.code < 0) return `ended, nobody knows how${ago}`;
  return (ending.signal > 0 ? `signal ${ending.signal}` : `exit ${ending.code}`) + ago;
}

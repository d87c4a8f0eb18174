/** One daemon's report, for people. */
import type { FileSystemFigures } from "../../client/filesystems.ts";
import type { Facts } from "../../wire/hello.ts";
import type { OpFigures } from "../counters.ts";
import { printable } from "../printable.ts";
import {
  type BridgeReport,
  type DaemonReport,
  isSilent,
  type MountReport,
  type ServerReport,
  type SupervisorReport,
} from "../report.ts";
import { stateName } from "../threads.ts";
import { bytes, duration, integer, micros, words } from "../units.ts";
import type { ThreadReport } from "../watchdog.ts";
import { formatKeeper, formatRexec, WORDS_MAX } from "./programs.ts";
import { columns, type Field, fieldLine, processFields } from "./table.ts";
import { formatTwins } from "./twins.ts";

/** One daemon: its state, then a table of what it did. */
export function formatReport(report: DaemonReport): string {
  if (isSilent(report)) {
    const reason = printable(report.error);
    return `qtfs ${report.kind}, process ${report.pid}, does not answer: ${reason}\n`;
  }
  if (report.kind === "rexec-server") return formatRexec(report);
  if (report.kind === "rexec-keeper") return formatKeeper(report);
  if (report.kind === "bridge") return formatBridge(report);
  if (report.kind === "supervisor") return formatSupervisor(report);
  const own = report.kind === "server" ? serverFields(report) : mountFields(report);
  const common = processFields(report);
  // Not every daemon has all of them; what is zero says nothing.
  const nonzero = Object.entries(report.totals).filter(([, value]) => value !== 0);
  const totals = nonzero.map(([name, value]): Field => {
    return [words(name), name.startsWith("bytes") ? bytes(value) : integer(value)];
  });
  const fields = [...own, ...common, ...report.threads.map(threadField), ...totals]
    .map(fieldLine)
    .join("");
  return `qtfs ${report.kind}, process ${report.pid}\n${fields}\n${operations(report.operations)}${meetings(report)}`;
}

/** Streams whose server is gone. */
function formatBridge(report: BridgeReport): string {
  const figures = Object.entries(report.figures).filter(([, value]) => value !== 0);
  const fields: Field[] = [
    ["server", "none: it waits for one"],
    ...processFields(report),
    ...figures.map(
      ([name, value]): Field => [name.toLowerCase().replaceAll("_", " "), integer(value)],
    ),
  ];
  return `qtfs bridge, process ${report.pid}\n${fields.map(fieldLine).join("")}`;
}

/** A supervisor: what it supervises, and which calls it has looked at. */
function formatSupervisor(report: SupervisorReport): string {
  const { command, pid, startedAt } = report.program;
  const fields: Field[] = [
    ["supervises", command.join(" ").slice(0, WORDS_MAX)],
    ["started", `as process ${pid}, ${startedAt}`],
    ["threads", `${report.threads}`],
    ...processFields(report),
  ];
  const seen = report.calls.filter(({ done, failed, wentOn }) => done + failed + wentOn > 0);
  const rows = seen.map(({ name, done, failed, wentOn, meanMicroseconds }) => [
    name,
    ...[wentOn, done, failed].map(integer),
    micros(meanMicroseconds),
  ]);
  const heading = ["CALL", "HERE", "ON HOST", "FAILED", "MEAN"];
  const table = rows.length === 0 ? "No call yet.\n" : columns([heading, ...rows], [1, 2, 3, 4]);
  return `qtfs supervisor, process ${report.pid}\n${fields.map(fieldLine).join("")}\n${table}`;
}

function threadField({ name, tid, state, at, forMs }: ThreadReport): Field {
  const lasting = forMs < 1000 ? "" : ` for ${duration(forMs / 1000)}`;
  const where =
    tid === 0 ? "" : `, thread ${tid}${state === "" ? "" : `, state ${stateName(state)}`}`;
  return [name, `${at}${lasting}${where}`];
}

function serverFields(report: ServerReport): Field[] {
  return [
    ...report.listen.map((address): Field => ["listens at", address]),
    ...report.exports.map(({ path, readOnly, allow = [] }): Field => {
      const words = [readOnly ? "read only" : "read and write", ...allow];
      return ["exports", `${path} (${words.join(", ")})`];
    }),
    ...report.policies.map(({ of, policy }): Field => ["policy", `${of}: ${policy}`]),
    ...(report.insecure ? [["insecure", "TCP clients are not authenticated"] as const] : []),
    ...(report.bridgePid > 0 ? [["streams", `process ${report.bridgePid}`] as const] : []),
  ];
}

function mountFields(report: MountReport): Field[] {
  const access = report.readOnly ? "read only" : "read and write";
  return [
    ["source", `${report.source} of ${report.server}`],
    ["mounted at", `${report.target} (${access}, cache ${report.cache})`],
    ...report.fileSystems.map(fileSystemField),
    ["state", report.connected ? "connected" : "NOT connected: looking for the server"],
    ...recovery(report),
    ["client", formatFacts(report.clientFacts)],
    ["server", formatFacts(report.serverFacts)],
  ];
}

/** Where a file system of the HOST's is, of what type, and how long its files are believed. */
function fileSystemField({ path, type, policy }: FileSystemFigures): Field {
  return ["file system", `${path === "" ? "." : path}: ${type}, ${policy}`];
}

/** What went wrong and was made good, as far as anything did. */
function recovery({ recovery: r, keeper, inStore }: MountReport): Field[] {
  const lasted = `the last took ${r.lastAwayMs} ms to mend`;
  return [
    ["keeper", nameKeeper(keeper, inStore)],
    ...(r.losses > 0 ? [["losses", `${r.losses} of the connection, ${lasted}`] as const] : []),
    ...(r.serverRestarts > 0
      ? [["resumed", `${r.serverRestarts} after a server's death`] as const]
      : []),
    ...(r.sessionsLost > 0
      ? [["sessions lost", `${r.sessionsLost}: open files are stale`] as const]
      : []),
    ...(r.takeovers > 0
      ? [["takeovers", `${r.takeovers} from a process that had died`] as const]
      : []),
  ];
}

function nameKeeper(keeper: number | undefined, inStore: boolean): string {
  if (inStore) return "the service manager, in its file descriptor store";
  return keeper === undefined ? "none: the mount ends with its process" : `process ${keeper}`;
}

function formatFacts(facts: Facts): string {
  return `qtfs ${facts.build}, Linux ${facts.kernel} on ${facts.arch}, process ${facts.pid}`;
}

/** Sockets and FIFOs of a mount, and who is connected. */
function meetings(report: ServerReport | MountReport): string {
  if (report.kind === "server" || report.twins === undefined) return "";
  return formatTwins(report.twins);
}

const HEADINGS = ["operation", "count", "errors", "data", "mean", "p50", "p90", "p99", "max"];

/** What was asked for, most often first; latencies are at most what is shown. */
function operations(figures: readonly OpFigures[]): string {
  if (figures.length === 0) return "No operation was asked for yet.\n";
  const rows = [...figures]
    .sort((a, b) => b.count - a.count)
    .map((op) => [
      op.op,
      integer(op.count),
      integer(op.errors),
      op.bytes === 0 ? "-" : bytes(op.bytes),
      ...[op.meanUs, op.p50Us, op.p90Us, op.p99Us, op.maxUs].map(micros),
    ]);
  return columns([HEADINGS, ...rows], [1, 2, 3, 4, 5, 6, 7, 8]);
}

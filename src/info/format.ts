/** Reports for people. */
import type { FileSystemFigures } from "../client/filesystems.ts";
import type { MeetingReport, TwinsReport } from "../client/twins/report.ts";
import type { ProgramReport } from "../rexec/server/register.ts";
import { describeRule } from "../rexec/server/rules.ts";
import type { Facts } from "../wire/hello.ts";
import type { OpFigures } from "./counters.ts";
import { BUILD } from "./facts.ts";
import { printable } from "./printable.ts";
import {
  type BridgeReport,
  type DaemonReport,
  isSilent,
  type KeeperReport,
  type MountReport,
  type Process,
  type RexecReport,
  type ServerReport,
  type SupervisorReport,
} from "./report.ts";
import { stateName } from "./threads.ts";
import { bytes, duration, integer, micros, words } from "./units.ts";
import type { ThreadReport } from "./watchdog.ts";

type Field = readonly [name: string, value: string];

const FIELD_WIDTH = 17;
/** Characters that are shown of a program's words. */
const WORDS_MAX = 100;

/** All daemons, a line each. */
export function formatList(reports: readonly DaemonReport[]): string {
  if (reports.length === 0) return "No qtfs server and no mount runs on this machine.\n";
  const rows = reports.map((report) => [
    report.kind,
    `${report.pid}`,
    isSilent(report) ? "-" : duration(report.uptimeSeconds),
    isSilent(report) ? "-" : bytes(report.residentBytes),
    printable(summary(report)),
  ]);
  return columns([["KIND", "PID", "UP FOR", "MEMORY", "WHAT"], ...rows], []);
}

function summary(report: DaemonReport): string {
  if (isSilent(report)) return `does not answer: ${report.error}`;
  if (report.kind === "mount") {
    const state = report.connected ? "" : ", not connected";
    return `${report.source} of ${report.server} at ${report.target}${state}`;
  }
  if (report.kind === "rexec-server") {
    const running = report.programs.filter(({ ending }) => ending === undefined).length;
    return `${running} programs at ${report.listen.join(" ")}`;
  }
  if (report.kind === "rexec-keeper") {
    const running = report.programs.filter(({ ending }) => ending === undefined).length;
    return `${running} programs, and no rexec-server`;
  }
  if (report.kind === "bridge") return `${report.figures.STREAMS} streams, and no server`;
  if (report.kind === "supervisor") return report.program.command.join(" ");
  const exports = report.exports.map(({ path, readOnly }) => path + (readOnly ? ":ro" : ""));
  return `${exports.join(" ")} at ${report.listen.join(" ")}`;
}

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

function fieldLine([name, value]: Field): string {
  return `  ${name.padEnd(FIELD_WIDTH)}${printable(value)}\n`;
}

/** What every daemon says of itself. */
function processFields(report: Process): Field[] {
  const isOther = report.version !== BUILD;
  return [
    ["version", report.version + (isOther ? `; this command is ${BUILD}: restart it` : "")],
    ["up for", `${duration(report.uptimeSeconds)}, since ${report.startedAt}`],
    ["memory", bytes(report.residentBytes)],
    ["log level", report.logLevel],
  ];
}

/** A rexec-server, and its programs: those that run, then those that have ended. */
function formatRexec(report: RexecReport): string {
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
function formatKeeper(report: KeeperReport): string {
  const text = [["rexec-server", "none: it waits for one"] as const, ...processFields(report)]
    .map(fieldLine)
    .join("");
  return `qtfs rexec-keeper, process ${report.pid}\n${text}\n${programTable(report.programs)}`;
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

function programState({ ending, startedMs, connected }: ProgramReport): string {
  const since = (ms: number) => duration(Math.max(0, Date.now() - ms) / 1000);
  if (ending === undefined) {
    return `runs for ${since(startedMs)}${connected ? "" : ", client away"}`;
  }
  const ago = `, ${since(ending.atMs)} ago`;
  if (ending.code < 0) return `ended, nobody knows how${ago}`;
  return (ending.signal > 0 ? `signal ${ending.signal}` : `exit ${ending.code}`) + ago;
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

/** What the process that serves sockets and FIFOs says, for people. */
export function formatTwins(twins: TwinsReport): string {
  const { losses, meetingCount, pid, resumes, streamCount } = twins;
  const state = twins.connected ? "connected" : "NOT connected";
  const history = `${resumes} times resumed, ${losses} times lost`;
  const head = `\nsockets and FIFOs, process ${pid}, ${state}, ${history}\n`;
  const places = twins.meetings
    .slice(0, SHOWN_MAX)
    .map(({ kind, path, type, connections }) => [
      KINDS[kind],
      type,
      integer(connections),
      printable(path),
    ]);
  const streams = twins.streams.slice(0, SHOWN_MAX).map((one) => {
    const { ageSeconds, bytesIn, bytesOut, credit, path, peer, waiting } = one;
    const figures = [bytesOut, bytesIn, waiting, credit].map(bytes);
    return [...figures, duration(ageSeconds), printable(peer), printable(path)];
  });
  const placeTable = columns([["kind", "type", "connections", "path"], ...places], [2]);
  const streamHeads = ["to HOST", "from HOST", "waiting", "credit", "age", "peer", "path"];
  const streamTable = columns([streamHeads, ...streams], [0, 1, 2, 3]);
  return [
    head,
    ...(places.length > 0 ? [placeTable, more(meetingCount, places.length)] : []),
    ...(streams.length > 0 ? ["\n", streamTable, more(streamCount, streams.length)] : []),
  ].join("");
}

/** Rows of each of these tables. */
const SHOWN_MAX = 100;
const KINDS: Readonly<Record<MeetingReport["kind"], string>> = {
  socket: "of the HOST",
  bound: "bound here",
  fifo: "FIFO",
};

function more(count: number, shown: number): string {
  return count > shown ? `and ${integer(count - shown)} more\n` : "";
}

/** Cells in columns, two spaces apart; those numbered in `right` are aligned to the right. */
function columns(rows: readonly (readonly string[])[], right: readonly number[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => {
        const width = widths[i] ?? 0;
        return right.includes(i) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** All daemons, a line each. */
import { printable } from "../printable.ts";
import { type DaemonReport, isSilent } from "../report.ts";
import { bytes, duration } from "../units.ts";
import { columns } from "./table.ts";

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

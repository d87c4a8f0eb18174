/**
 * What a daemon reports of itself, and what `qtfs info --json` prints: the
 * schema that scripts may rely on. A field may be added to schema 1; one that
 * changes its meaning or goes away makes schema 2.
 */
import type { MountSnapshot } from "../client/snapshot.ts";
import type { TwinsReport } from "../client/twins/report.ts";
import type { KeeperSnapshot } from "../rexec/server/control.ts";
import type { RexecSnapshot } from "../rexec/server/daemon.ts";
import type { BridgeSnapshot } from "../server/bridge/control.ts";
import type { ServerSnapshot } from "../server/daemon.ts";
import type { SupervisorSnapshot } from "../supervisor/report.ts";
import type { LogLevel } from "./log.ts";

export const SCHEMA = 1;

/** What every daemon reports. */
export interface Process {
  pid: number;
  /** The release of qtfs that it runs. */
  version: string;
  /** When it started: ISO 8601, UTC. */
  startedAt: string;
  uptimeSeconds: number;
  /** Resident memory (VmRSS). */
  residentBytes: number;
  logLevel: LogLevel;
}

export type ServerReport = { kind: "server" } & Process & ServerSnapshot;
/** `twins`: what the process that serves sockets and FIFOs says, where there is one that answers. */
export type MountReport = { kind: "mount"; twins?: TwinsReport } & Process & MountSnapshot;

export type RexecReport = { kind: "rexec-server" } & Process & RexecSnapshot;
/** What has the programs of a rexec-server that is gone. */
export type KeeperReport = { kind: "rexec-keeper" } & Process & KeeperSnapshot;

/** What has the streams of a server that is gone. */
export type BridgeReport = { kind: "bridge" } & Process & BridgeSnapshot;

export type SupervisorReport = { kind: "supervisor" } & Process & SupervisorSnapshot;

/** A daemon that listens and does not answer, or answers what is no report. */
export interface SilentReport {
  kind: "server" | "mount" | "rexec-server" | "rexec-keeper" | "bridge" | "supervisor";
  pid: number;
  /** Why there is nothing more. */
  error: string;
}

export type DaemonReport =
  | ServerReport
  | MountReport
  | RexecReport
  | KeeperReport
  | BridgeReport
  | SupervisorReport
  | SilentReport;

/** What `qtfs info --json` prints, with one daemon or with all of this machine. */
export interface InfoReport {
  schema: typeof SCHEMA;
  daemons: DaemonReport[];
}

/** Whether the daemon did not answer. */
export function isSilent(report: DaemonReport): report is SilentReport {
  return "error" in report;
}

/** Whether it is a server that answered. */
export function isServer(report: DaemonReport): report is ServerReport {
  return report.kind === "server" && !isSilent(report);
}

/** Whether it is a mount that answered. */
export function isMount(report: DaemonReport): report is MountReport {
  return report.kind === "mount" && !isSilent(report);
}

/** Whether it is a rexec-server that answered. */
export function isRexec(report: DaemonReport): report is RexecReport {
  return report.kind === "rexec-server" && !isSilent(report);
}

/** Whether it is a rexec-server, or a keeper without one, that answered: what has programs. */
export function hasPrograms(report: DaemonReport): report is RexecReport | KeeperReport {
  return (report.kind === "rexec-server" || report.kind === "rexec-keeper") && !isSilent(report);
}

/** Whether it is a supervisor that answered. */
export function isSupervisor(report: DaemonReport): report is SupervisorReport {
  return report.kind === "supervisor" && !isSilent(report);
}

/** How the servers and mounts of this machine are. */
import type { OpFigures } from "../counters.ts";
import { BUILD } from "../facts.ts";
import type { MountLine } from "../mountinfo.ts";
import {
  type DaemonReport,
  isMount,
  isServer,
  isSilent,
  type MountReport,
  type ServerReport,
} from "../report.ts";
import { FILE_SYSTEM_TYPE } from "../select.ts";
import { duration, micros, words } from "../units.ts";
import type { ThreadReport } from "../watchdog.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";

/** Operations that are one question and one answer: their median is about a round trip. */
const QUESTIONS: readonly string[] = ["GETATTR", "LOOKUP"];
/** A median beyond it makes every program slow. */
const SLOW_US = 5000;
/** A thread that has been at one thing for so long is stuck. */
const STUCK_MS = 10_000;
/** What is counted and should be zero, with what to do. */
const COUNTED: Readonly<Record<string, string>> = {
  protocolErrors: "Somebody else talks to it, or its peer is damaged: qtfs info WHICH --log",
  watchesRefused: "sysctl -w fs.inotify.max_user_watches=1048576",
  eventsLost: "Programs that watch files see changes late: raise fs.inotify.max_queued_events.",
  staleHandles: "Programs with files open got ESTALE: start them anew.",
  locksLost: "Programs that held locks may both have them now: start them anew.",
};

/** Findings about each daemon, and about mounts that have none. */
export function examineDaemons(
  reports: readonly DaemonReport[],
  lines: readonly MountLine[],
): Finding[] {
  const silent = reports.some((one) => isSilent(one) && one.kind === "mount");
  return [...reports.flatMap(examine), ...(silent ? [] : lostMounts(reports, lines))];
}

function examine(report: DaemonReport): Finding[] {
  if (isSilent(report)) {
    const subject = `${report.kind} ${report.pid}`;
    const says = `Process ${report.pid} does not answer: ${report.error}.`;
    return [failure(subject, says, `See /proc/${report.pid}/stack; restart it if that lasts.`)];
  }
  const subject = subjectOf(report);
  const found = [...version(subject, report.version)];
  if (isMount(report)) found.push(...mount(subject, report));
  if (isServer(report)) found.push(...server(subject, report));
  return found.length > 0 ? found : [ok(subject, `runs for ${duration(report.uptimeSeconds)}`)];
}

function subjectOf(report: DaemonReport): string {
  return report.kind === "mount" && !isSilent(report)
    ? `mount ${report.target}`
    : `${report.kind} ${report.pid}`;
}

function version(subject: string, running: string): Finding[] {
  if (running === BUILD) return [];
  return [warning(subject, `It is qtfs ${running}, this is ${BUILD}.`, "Restart it.")];
}

function mount(subject: string, report: MountReport): Finding[] {
  const { connected, recovery, serverFacts, server: address } = report;
  const found = [...stuck(subject, report.threads), ...counted(subject, report.totals)];
  if (!connected) {
    const advice = `Start its server, or look at the network: ${address}`;
    found.push(failure(subject, "It has no connection to its server.", advice));
  }
  if (serverFacts.build !== BUILD) {
    const says = `Its server is qtfs ${serverFacts.build}, this is ${BUILD}.`;
    found.push(warning(subject, says, "Use one release on both machines."));
  }
  if (recovery.sessionsLost > 0) {
    const says = `Its session was lost ${recovery.sessionsLost} times: files open then are stale.`;
    found.push(warning(subject, says, "Start programs anew that get ESTALE."));
  }
  if (found.length > 0) return found;
  return [roundTrip(subject, report.operations)];
}

function roundTrip(subject: string, operations: readonly OpFigures[]): Finding {
  const asked = operations.filter(({ op }) => QUESTIONS.includes(op.toUpperCase()));
  const fastest = asked.sort((a, b) => a.p50Us - b.p50Us)[0];
  if (fastest === undefined) return ok(subject, "is connected");
  const says = `${fastest.op} takes ${micros(fastest.p50Us)} (median of ${fastest.count})`;
  if (fastest.p50Us < SLOW_US) return ok(subject, says);
  return warning(subject, `${says}.`, "Look at the network between both machines, and their load.");
}

function server(subject: string, report: ServerReport): Finding[] {
  const found = [...stuck(subject, report.threads), ...counted(subject, report.totals)];
  if (report.insecure) {
    const advice = "qtfs server enroll NAME makes an identity for each client.";
    found.push(warning(subject, "Whoever reaches its TCP address is let in.", advice));
  }
  const refused = Object.entries(report.totals).filter(([name, n]) => /^tls/.test(name) && n > 0);
  if (refused.length > 0) {
    const what = refused.map(([name, count]) => `${words(name)} ${count}`).join(", ");
    found.push(warning(subject, `It has refused clients: ${what}.`, "qtfs info WHICH --log"));
  }
  return found;
}

function stuck(subject: string, threads: readonly ThreadReport[]): Finding[] {
  return threads
    .filter(({ name, state, at, forMs }) => {
      // A thread for calls may wait for a lock as long as somebody has it.
      const isWorking = name.startsWith("reactor") && at !== "asleep";
      return forMs >= STUCK_MS && (state === "D" || isWorking);
    })
    .map(({ name, at, forMs }) => {
      const says = `Its ${name} has been ${at} for ${duration(forMs / 1000)}.`;
      return warning(subject, says, "Its log has the kernel's stack: qtfs info WHICH --log");
    });
}

function counted(subject: string, totals: Readonly<Record<string, number>>): Finding[] {
  return Object.entries(COUNTED).flatMap(([name, advice]) => {
    const count = totals[name] ?? 0;
    return count === 0 ? [] : [warning(subject, `It has counted ${count} ${words(name)}.`, advice)];
  });
}

/**
 * Our mounts in mountinfo that no process says it serves. Those made for the HOST's mounts
 * are served with the mount that they are in.
 */
function lostMounts(reports: readonly DaemonReport[], lines: readonly MountLine[]): Finding[] {
  const targets = new Set(reports.filter(isMount).map(({ target }) => target));
  const ours = lines.filter(({ type }) => type === FILE_SYSTEM_TYPE);
  const direct = ours.filter(({ mountpoint }) => targets.has(mountpoint));
  const devices = new Set(direct.map(({ device }) => device));
  const served = new Set(direct.map(({ id }) => id));
  const lost: MountLine[] = [];
  // A mount comes after the one that it is in.
  for (const line of ours) {
    if (devices.has(line.device) || served.has(line.parent)) served.add(line.id);
    else lost.push(line);
  }
  return lost.map(({ mountpoint }) => {
    const advice = `umount -l ${mountpoint}, and mount it again.`;
    return failure(`mount ${mountpoint}`, "No process serves it.", advice);
  });
}

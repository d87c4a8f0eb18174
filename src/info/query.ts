/** Asks daemons through their control sockets. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { TwinsReport } from "../client/twins/report.ts";
import type { ProgramReport } from "../rexec/server/register.ts";
import { E } from "../sys/errno.ts";
import { kill } from "../sys/process.ts";
import { Kind } from "../wire/frame.ts";
import { CONTROL_DIRECTORY } from "./control.ts";
import { encodeFrame, FrameReader, type Request } from "./frames.ts";
import type { DaemonReport, KeeperReport, SilentReport } from "./report.ts";

/** A daemon that takes longer is stuck. */
const ANSWER_TIMEOUT_MS = 2_000;

/** What a daemon says that answers. */
type Report = Exclude<DaemonReport, SilentReport>;

/** A control socket in the directory. */
export interface Endpoint {
  kind: SilentReport["kind"];
  pid: number;
  path: string;
}

/** A socket that no process listens at any more. */
class Dead extends Error {}

/** Sends one request and returns the answer; throws why there is none. */
export async function ask(path: string, request: Request): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const reader = new FrameReader(Kind.REPLY);
  const timer = setTimeout(
    () => reject(new Error(`it has not answered for ${ANSWER_TIMEOUT_MS / 1000} s`)),
    ANSWER_TIMEOUT_MS,
  );
  const connecting = Bun.connect({
    unix: path,
    socket: {
      data(_socket, bytes) {
        try {
          const [value] = reader.add(bytes);
          if (value !== undefined) resolve(value);
        } catch (error) {
          reject(error as Error);
        }
      },
      close: () => reject(new Error("it closed the connection")),
      error: (_socket, error) => reject(error),
      connectError: (_socket, error) => reject(error),
    },
  });
  try {
    const socket = await Promise.race([connecting, promise]);
    const frame = encodeFrame(Kind.REQUEST, request);
    (socket as Awaited<typeof connecting>).write(frame);
    return (await promise) as Record<string, unknown>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === "ECONNREFUSED" || code === "ENOENT" ? new Dead() : error;
  } finally {
    clearTimeout(timer);
    connecting.then(
      (socket) => socket.terminate(),
      () => {},
    );
  }
}

/** The control sockets there are; throws a sentence if this user may not look. */
export function endpoints(directory = CONTROL_DIRECTORY): Endpoint[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    if (code === "EACCES") throw new Error(`Only root may ask the daemons: ${directory} is closed`);
    throw error;
  }
  return names.flatMap((name) => {
    const match = /^(server|mount|rexec-server|rexec-keeper|bridge|supervisor)-(\d+)\.sock$/.exec(
      name,
    );
    if (match === null) return [];
    const kind = match[1] as Endpoint["kind"];
    return [{ kind, pid: Number(match[2]), path: `${directory}/${name}` }];
  });
}

/** Removes what twin processes left that were killed, with the mounts that would have removed it. */
async function sweepTwins(directory: string): Promise<void> {
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const pid = /^twins-(\d+)\.sock$/.exec(name)?.[1];
    if (pid === undefined || kill(Number(pid), 0) !== -E.ESRCH) continue;
    const path = `${directory}/${name}`;
    // It may be another PID namespace's.
    const answer = await ask(path, { want: "snapshot" }).catch((error) => error);
    if (answer instanceof Dead) rmSync(path, { force: true });
  }
}

/**
 * The reports of all daemons, servers first, in the order of their pids. The
 * sockets of dead ones are removed.
 */
export async function reports(directory = CONTROL_DIRECTORY): Promise<DaemonReport[]> {
  const all = await Promise.all(endpoints(directory).map(report));
  await sweepTwins(directory);
  return all
    .filter((one) => one !== undefined)
    .sort((a, b) => b.kind.localeCompare(a.kind) || a.pid - b.pid);
}

/** What process `pid` says that stands beside a daemon; undefined where there is none, or it does not answer. */
async function beside(name: string, pid: unknown, directory: string): Promise<object | undefined> {
  if (typeof pid !== "number" || pid === 0) return undefined;
  try {
    return await ask(`${directory}/${name}-${pid}.sock`, { want: "snapshot" });
  } catch {
    return undefined;
  }
}

/** Whether an answer is the report of that daemon. */
function isReport(answer: object, { kind, pid }: Endpoint): answer is Report {
  return "kind" in answer && answer.kind === kind && "pid" in answer && answer.pid === pid;
}

/** A daemon's report, with what the processes beside it say; undefined where another tells of it. */
async function complete(report: Report, directory: string): Promise<Report | undefined> {
  switch (report.kind) {
    // A keeper with a server is told of by that, and so is a bridge.
    case "rexec-keeper":
    case "bridge":
      return report.served ? undefined : report;
    case "mount": {
      const twins = await beside("twins", report.twinsPid, directory);
      return twins === undefined ? report : { ...report, twins: twins as TwinsReport };
    }
    case "rexec-server": {
      const keeper = await beside("rexec-keeper", report.keeperPid, directory);
      if (keeper === undefined) return report;
      return { ...report, programs: refreshed(report.programs, keeper as KeeperReport) };
    }
    default:
      return report;
  }
}

/** A rexec-server's programs as their keeper has them now; it may have been killed before some have ended. */
function refreshed(own: ProgramReport[], keeper: KeeperReport): ProgramReport[] {
  const known = new Set(keeper.programs.map(({ keeper: pid, id }) => `${pid} ${id}`));
  const others = own.filter(({ keeper: pid, id }) => !known.has(`${pid} ${id}`));
  const runs = ({ ending }: ProgramReport) => ending === undefined;
  const all = [...keeper.programs, ...others];
  return [...all.filter(runs), ...all.filter((one) => !runs(one))];
}

async function report(endpoint: Endpoint): Promise<DaemonReport | undefined> {
  const { kind, pid, path } = endpoint;
  try {
    const answer = await ask(path, { want: "snapshot" });
    if (!isReport(answer, endpoint)) throw new Error("its answer is no report");
    return await complete(answer, dirname(path));
  } catch (error) {
    if (!(error instanceof Dead)) return { kind, pid, error: (error as Error).message };
    // One that has just begun refuses, too, for a moment.
    if (kill(pid, 0) === -E.ESRCH) rmSync(path, { force: true });
    return undefined;
  }
}

/** What becomes of a mount of ours that is at the target already. */
import { watch } from "node:fs";
import { resolve } from "node:path";
import { RECORD_MAGIC } from "../client/record.ts";
import { CONTROL_DIRECTORY } from "../info/control.ts";
import { hasLostProcess, within } from "../info/lost.ts";
import { mounts } from "../info/mountinfo.ts";
import { ask, endpoints, reports } from "../info/query.ts";
import { type DaemonReport, isMount, type MountReport } from "../info/report.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";
import { cstring } from "../sys/cstring.ts";
import { MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { ownCommand } from "./background.ts";

/** Whether a mount that is there may be, or must be, taken over by this program. */
export type TakeOver = "never" | "may" | "must";

/** How long a mount may take to answer that has somebody. */
const LOOK_MS = 3000;
/** How long a process may take that takes over. */
const TAKEOVER_MS = 15_000;

/**
 * Looks at what is mounted at `target`. A mount of ours without a process is
 * taken away; one of the same directory is taken over if that may be, and then
 * this is true. What else is there is left for checkTarget to refuse.
 */
export async function takesOver(
  source: string,
  servers: readonly Address[],
  target: string,
  mayTakeOver: TakeOver,
): Promise<boolean> {
  const path = resolve(target);
  const last = mounts().findLast(({ mountpoint }) => mountpoint === path);
  const isOurs = last?.type === FILE_SYSTEM_TYPE;
  const isDead = isOurs && (await hasLostProcess(path));
  const report = isOurs && !isDead ? await reportOf(path) : undefined;
  if (report !== undefined) {
    const server = servers.map(formatAddress).join(", ");
    const isSame = report.source === source && report.server === server;
    if (mayTakeOver === "never" || !isSame) return false;
    await takeOver(report, path);
    return true;
  }
  if (mayTakeOver === "must") throw new Error(`Cannot take over ${path}: no qtfs mount is there`);
  if (isDead) umount2(cstring(path), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
  return false;
}

/** What the process says that serves the mount at `path`, if it does answer. */
async function reportOf(path: string): Promise<MountReport | undefined> {
  const look = async () => {
    const all = await reports().catch((): DaemonReport[] => []);
    return all.filter(isMount).findLast((one) => one.target === path);
  };
  let change = Promise.withResolvers<void>();
  const watcher = watch(CONTROL_DIRECTORY, () => change.resolve());
  const endMs = performance.now() + LOOK_MS;
  try {
    while (true) {
      change = Promise.withResolvers<void>();
      const found = await look();
      const leftMs = endMs - performance.now();
      if (found !== undefined || leftMs <= 0) return found;
      // One that is just taking over is there in a moment; others come and go meanwhile.
      await within(leftMs, change.promise);
    }
  } finally {
    watcher.close();
  }
}

async function takeOver(report: MountReport, target: string): Promise<void> {
  const endpoint = endpoints().find(({ pid }) => pid === report.pid);
  if (endpoint === undefined) throw new Error(`Cannot take over ${target}: its process is gone`);
  const program = ownCommand();
  const answer = await ask(endpoint.path, { want: "handOver", program, layout: RECORD_MAGIC });
  if (typeof answer.successor !== "number") {
    throw new Error(`Cannot take over ${target}: ${answer.refused ?? "its process is too old"}`);
  }
  await appearance(answer.successor, target);
}

/** Waits until process `pid` serves. */
async function appearance(pid: number, target: string): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  const name = `mount-${pid}.sock`;
  const isThere = () => endpoints().some((one) => one.pid === pid);
  const watcher = watch(CONTROL_DIRECTORY, (_event, file) => {
    if (file === name && isThere()) done();
  });
  const timer = setTimeout(() => {
    reject(new Error(`Process ${pid} has not taken over ${target} after ${TAKEOVER_MS / 1000} s`));
  }, TAKEOVER_MS);
  try {
    if (!isThere()) await promise;
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}

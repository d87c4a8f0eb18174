/** Which daemons the argument of `qtfs info` means. */
import { resolve } from "node:path";
import { formatAddress, parseAddress } from "../transport/address.ts";
import { type MountLine, mountOf, mounts } from "./mountinfo.ts";
import { type DaemonReport, isMount, isRexec, isServer, isSilent } from "./report.ts";

/** What mountinfo calls our mounts. */
export const FILE_SYSTEM_TYPE = "fuse.qtfs";

/**
 * The daemons that `which` means: a pid, an address (the servers that listen
 * there, or else the mounts that use it), or a path (the mount that it is in;
 * only its text is looked at). Throws a sentence if there is none, `Unanswered` where that is not certain.
 */
export function select(
  reports: readonly DaemonReport[],
  which: string,
  lines: readonly MountLine[] = mounts(),
): DaemonReport[] {
  if (/^\d+$/.test(which)) {
    const found = reports.filter(({ pid }) => pid === Number(which));
    if (found.length === 0)
      throw new Error(`Process ${which} is no qtfs server, mount, rexec-server or supervisor`);
    return found;
  }
  return which.includes("://") ? byAddress(reports, which) : [byPath(reports, which, lines)];
}

function byAddress(reports: readonly DaemonReport[], which: string): DaemonReport[] {
  const address = formatAddress(parseAddress(which));
  const servers = reports.filter(
    (one) => (isServer(one) || isRexec(one)) && one.listen.includes(address),
  );
  if (servers.length > 0) return servers;
  const users = reports.filter((one) => isMount(one) && one.server === address);
  if (users.length > 0) return users;
  throw new Error(`No qtfs process of this machine has to do with ${address}`);
}

function byPath(
  reports: readonly DaemonReport[],
  which: string,
  lines: readonly MountLine[],
): DaemonReport {
  const path = resolve(which);
  const line = mountOf(path, lines);
  const target = line?.type === FILE_SYSTEM_TYPE ? line.mountpoint : path;
  const found = reports.filter(isMount).findLast((report) => report.target === target);
  if (found !== undefined) return found;
  if (line?.type !== FILE_SYSTEM_TYPE) throw new Error(`${path} is not on a qtfs mount`);
  const silent = reports.some((report) => isSilent(report) && report.kind === "mount");
  throw silent ? new Unanswered(target) : new Error(lost(target));
}

/** A sentence on a mount that nobody serves. */
export function lost(target: string): string {
  return `The mount at ${target} has lost its process: "umount -l ${target}" removes it`;
}

/** No process says that it serves the mount at `target`; one that says nothing at all may. */
export class Unanswered extends Error {
  readonly target: string;

  constructor(target: string) {
    super(`No process answers for the mount at ${target}, but one does not answer at all`);
    this.target = target;
  }
}

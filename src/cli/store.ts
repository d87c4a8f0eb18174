/**
 * The file descriptor store of a service manager (systemd.service(5),
 * FileDescriptorStoreMax=): it holds what the next process of a mount needs, and
 * gives it to that one (sd_listen_fds(3)).
 */
import type { MountDaemon } from "../client/daemon.ts";
import type { Guardian, Kept } from "../client/keeper.ts";
import type { MountOptions } from "../client/options.ts";
import { cstring } from "../sys/cstring.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { close, F_SETFD, FD_CLOEXEC, fcntlInt } from "../sys/open.ts";
import { tellServiceManager } from "./daemon.ts";

/** What the descriptors are called there. */
const NAMES = {
  fuse: "qtfs-fuse",
  record: "qtfs-record",
  channels: "qtfs-channels",
  twins: "qtfs-twins",
} as const;
/** SD_LISTEN_FDS_START */
const FIRST_FD = 3;
const FDS_MAX = 1024;

/** Whether there is a store with room for a mount. systemd says so from release 254 on. */
export function hasStore(env: NodeJS.ProcessEnv = process.env): boolean {
  return (env.NOTIFY_SOCKET ?? "") !== "" && Number(env.FDSTORE ?? 0) >= Object.keys(NAMES).length;
}

/** What an earlier process of this mount has left there; undefined if it is not all there. */
export function storedMount(env: NodeJS.ProcessEnv = process.env): Kept | undefined {
  const count = Number(env.LISTEN_FDS ?? 0);
  if (env.LISTEN_PID !== `${process.pid}` || !(count > 0 && count <= FDS_MAX)) return undefined;
  for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) fcntlInt(fd, F_SETFD, FD_CLOEXEC);
  const names = (env.LISTEN_FDNAMES ?? "").split(":").slice(0, count);
  const fuse = names.lastIndexOf(NAMES.fuse);
  const record = names.lastIndexOf(NAMES.record);
  if (fuse < 0 || record < 0) return undefined;
  const at = (name: string) => {
    const index = names.lastIndexOf(name);
    return index < 0 ? -1 : FIRST_FD + index;
  };
  return {
    fuse: FIRST_FD + fuse,
    record: FIRST_FD + record,
    channels: at(NAMES.channels),
    twins: at(NAMES.twins),
  };
}

/** Gives a mount's descriptors to the store; throws a clause if they do not get there. */
export function storeMount(own: Kept): Guardian {
  for (const key of ["fuse", "record", "channels", "twins"] as const) {
    if (own[key] >= 0) store(NAMES[key], own[key]);
  }
  return STORE;
}

/** The same where the first two are there already, and the other ones of an earlier process. */
function storeOthers(own: Kept): Guardian {
  for (const key of ["channels", "twins"] as const) {
    tellServiceManager(`FDSTOREREMOVE=1\nFDNAME=${NAMES[key]}`);
    if (own[key] >= 0) store(NAMES[key], own[key]);
  }
  return STORE;
}

function store(name: string, fd: number): void {
  isEmpty = false;
  const sent = tellServiceManager(`FDSTORE=1\nFDNAME=${name}`, [fd]);
  if (sent <= 0) throw new Error(`the service manager does not take descriptors: errno ${-sent}`);
}

const STORE: Guardian = { pid: undefined, dismiss: emptyStore };

/**
 * Takes over the mount that was in the store, where it stays. One that cannot be,
 * because another release or a fault is in the way, is given up and made anew by
 * `mount`: else the service would never start again.
 */
export async function goOnWithStored(
  kept: Kept,
  target: string,
  rest: Pick<MountOptions, "log" | "successor" | "twins">,
  mount: () => Promise<MountDaemon>,
): Promise<MountDaemon> {
  const { takeOverMount } = await import("../client/daemon.ts");
  try {
    return await takeOverMount(kept, { ...rest, store: storeOthers });
  } catch (error) {
    rest.log("error", (error as Error).message);
  }
  for (const fd of Object.values(kept)) if (fd >= 0) close(fd);
  emptyStore();
  umount2(cstring(target), MNT_DETACH | UMOUNT_NOFOLLOW);
  return await mount();
}

/** Whether nothing was put there since it was emptied: the manager is told once. */
let isEmpty = false;

/** Has the store let go of a mount. */
function emptyStore(): void {
  if (isEmpty) return;
  isEmpty = true;
  for (const name of Object.values(NAMES)) tellServiceManager(`FDSTOREREMOVE=1\nFDNAME=${name}`);
}

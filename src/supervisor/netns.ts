/**
 * Network namespaces that are mounted on a share. The one in which a container shall run is
 * the HOST's; but who mounts it goes on to open and enter it, and no namespace of another
 * machine can be entered. So there is one at the same place on both machines: the HOST's
 * there, and on it here the caller's own, or an empty one.
 */
import type { HostPlace, Share } from "../onhost/places.ts";
import { mountedHere, seenHere } from "../onhost/seen.ts";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { umount2 } from "../sys/mount.ts";
import { bindNewNetns } from "../sys/netns.ts";
import { AT_FDCWD, close } from "../sys/open.ts";
import { MountFlag } from "../wire/constants.ts";
import { type Call, GO_ON, onHost, type Verdict } from "./call.ts";
import { isAncestor } from "./numbers.ts";

/** Of another process, by its number. */
const OF_PROCESS = /^\/proc\/([1-9]\d*)\/(?:task\/[1-9]\d*\/)?ns\/net$/;
/** As the server has it: the network that it is in. */
const HOSTS_OWN = "/proc/self/ns/net";

/** What was asked for is none of this. */
export const OTHER = Symbol("no network namespace");

/**
 * mount(2) with MS_BIND of `source` at a place on a share, if that is a network namespace.
 * `target`: what the caller calls the place.
 */
export async function bindNetns(
  call: Call,
  source: string,
  target: string,
  at: HostPlace<Share>,
): Promise<Verdict | typeof OTHER> {
  const { caller, procfs } = call;
  const number = Number(OF_PROCESS.exec(source)?.[1] ?? 0);
  const isHosts = number > 0 && !isAncestor(procfs, number, caller.process);
  if (isHosts) {
    const result = await bindThere(call, at, `/proc/${number}/ns/net`);
    if (result === 0) return await coverHere(call, target);
    // No such process: this machine's of that number, if there is one.
    if (result !== -E.ENOENT) return result;
  }
  const inode = ownNetns(call, source);
  if (inode === undefined) return isHosts ? -E.ENOENT : OTHER;
  const isInitial = inode === procfs.inode("self/ns/net");
  const result = await bindThere(call, at, isInitial ? HOSTS_OWN : undefined);
  // This machine's kernel mounts the caller's own on it.
  return result === 0 ? GO_ON : result;
}

/** Number of the network namespace that a path leads the caller to; undefined where it is none. */
function ownNetns({ caller, procfs }: Call, source: string): number | undefined {
  const fd = caller.open(AT_FDCWD, source);
  if (fd < 0) return undefined;
  const inode = procfs.netns(fd);
  close(fd);
  return inode;
}

/** Mounts on the HOST what `source` is there, or a new namespace, and waits for it to be seen. */
async function bindThere(
  call: Call,
  at: HostPlace<Share>,
  source: string | undefined,
): Promise<number> {
  const { path, mount } = at;
  const before = mountedHere(at);
  const result = onHost(call, mount, (calls) =>
    source === undefined
      ? calls.makeNetns(path)
      : calls.mount({ source, at: path, type: "", flags: MountFlag.BIND, data: new Uint8Array() }),
  );
  if (result === 0 && !seenHere(at, before)) {
    call.log("warn", `The network namespace at ${path} on the HOST is not seen here`);
  }
  return result;
}

/** Puts an empty namespace of this machine's over the HOST's. */
async function coverHere({ caller, procfs }: Call, target: string): Promise<number> {
  const fd = caller.open(AT_FDCWD, target);
  if (fd < 0) return fd;
  const result = bindNewNetns(procfs.fd, fd);
  close(fd);
  return result;
}

/**
 * umount2(2) of what the O_PATH descriptor `fd`, closed here, is the root of, if that is a
 * network namespace on a share: here, then on the HOST.
 */
export async function unbindNetns(
  call: Call,
  fd: number,
  flags: number,
): Promise<Verdict | typeof OTHER> {
  const { procfs, shares } = call;
  const isNamespace = procfs.netns(fd) !== undefined;
  const at = isNamespace ? await shares.findBelow(fd) : undefined;
  const path = procfs.readlink(`self/fd/${fd}`) ?? "";
  close(fd);
  if (at === undefined || path === "") return OTHER;
  const here = umount2(cstring(Buffer.from(path, "latin1").toString()), flags);
  if (here < 0) return here;
  const before = mountedHere(at);
  const there = onHost(call, at.mount, (calls) => calls.umount(at.path, flags));
  if (there === 0 && before !== "") seenHere(at, before);
  // Gone there already: the caller got what it wanted.
  return there === -E.EINVAL || there === -E.ENOENT ? 0 : there;
}

/** `qtfs mount --on-server` and `qtfs umount --on-server`: mounts of the HOST's kernel. */
import { readFileSync } from "node:fs";
import { HostCalls } from "../client/hostcalls.ts";
import { type HostPlace, HostPlaces, latin1 } from "../onhost/places.ts";
import { mountedHere, mountsBelow, seenHere } from "../onhost/seen.ts";
import { findSource, hostPath, sameMount, translated } from "../onhost/sources.ts";
import { E, errnoText } from "../sys/errno.ts";
import { parseAddress } from "../transport/address.ts";
import { MountFlag, UmountFlag } from "../wire/constants.ts";
import { MOUNT_DATA_MAX } from "../wire/limits.ts";
import { type HostMountStep, hostMountSteps } from "./host-mount-options.ts";

/** How long a server may take to say hello. */
const GREETING_MS = 10_000;
const CAP_SYS_ADMIN = 21n;
export interface HostMountRequest {
  type: string | undefined;
  /** The words of all `-o`. */
  options: readonly string[];
  source: string;
  target: string;
}

/** Mounts on the HOST; throws a sentence if that fails. */
export async function mountOnServer(request: HostMountRequest): Promise<void> {
  const { source, target, type } = request;
  requireAdmin();
  const steps = hostMountSteps(type, request.options);
  const places = await HostPlaces.read();
  const at = onMount(places, target);
  const needsPlace = steps.some(({ kind }) => kind === "bind" || kind === "move");
  const from = needsPlace ? sameMount(places, at, source) : findSource(places, at, source);
  const text = from === undefined ? latin1(source) : hostPath(from);
  const made = steps.some(({ kind }) => kind === "bind" || kind === "new");
  const before = mountedHere(at);
  const takesAll = steps.some(
    ({ kind, flags }) => kind === "move" || (flags & MountFlag.REC) !== 0,
  );
  const below = from !== undefined && takesAll ? mountsBelow(from) : [];
  withCalls(at, (calls) => {
    for (const [i, step] of steps.entries()) {
      const errno = carryOut(calls, step, { ...request, places, at, from, text });
      if (errno === 0) continue;
      // What was mounted is not what was asked for.
      if (i > 0 && made) calls.umount(at.path, UmountFlag.DETACH);
      throw new Error(failure(step, request, at, errno));
    }
  });
  if (made || needsPlace) seenHere(at, before, below);
}

/** Where a step takes place. */
interface Stage {
  places: HostPlaces;
  at: HostPlace;
  /** SOURCE, if it is a place. */
  from: HostPlace | undefined;
  /** SOURCE as a text, a byte a character. */
  text: string;
  type: string | undefined;
}

/** 0 or an errno. */
function carryOut(calls: HostCalls, step: HostMountStep, stage: Stage): number {
  const { kind, flags, clears = 0 } = step;
  const { places, at, from, text, type = "" } = stage;
  if (kind === "attributes") {
    return calls.setAttributes(at.path, { set: flags, clear: clears, isRecursive: true });
  }
  const find = (path: string) => findSource(places, at, Buffer.from(path, "latin1").toString());
  const data = Buffer.from(translated(latin1(step.data), type, find), "latin1");
  if (data.length >= MOUNT_DATA_MAX) throw new Error(`The options exceed ${MOUNT_DATA_MAX} bytes`);
  const usesPlace = kind === "bind" || kind === "move";
  return calls.mount({
    ...(usesPlace && from && { from: from.path }),
    source: usesPlace ? "" : text,
    at: at.path,
    type: kind === "new" ? latin1(type) : "",
    flags,
    data,
  });
}

/** Unmounts on the HOST with UmountFlag bits; throws a sentence if that fails. */
export async function umountOnServer(target: string, flags: number): Promise<void> {
  requireAdmin();
  const at = onMount(await HostPlaces.read(), target);
  if (at.path === "") {
    throw new Error(`${target} is the mount of qtfs itself: qtfs umount ${target}`);
  }
  const before = mountedHere(at);
  withCalls(at, (calls) => {
    const errno = calls.umount(at.path, flags);
    if (errno === 0) return;
    throw new Error(`Cannot unmount ${target} on the HOST: ${errnoText(errno)}${hint(at, errno)}`);
  });
  seenHere(at, before);
}

function withCalls(at: HostPlace, work: (calls: HostCalls) => void): void {
  const addresses = at.mount.server.split(", ").map(parseAddress);
  const calls = new HostCalls(addresses, at.mount.source, GREETING_MS);
  try {
    work(calls);
  } finally {
    calls.close();
  }
}

/** The server trusts its clients with who may: here it is who may mount on this machine. */
function requireAdmin(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const isAdmin = ((BigInt(`0x${effective ?? "0"}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
  if (!isAdmin) throw new Error("Only root (CAP_SYS_ADMIN) may mount and unmount on the HOST");
}

function onMount(places: HostPlaces, target: string): HostPlace {
  const at = places.find(target);
  if (at === undefined) throw new Error(`${target} is not on a mount of qtfs`);
  return at;
}

function failure(
  { kind }: HostMountStep,
  { source, target, type }: HostMountRequest,
  at: HostPlace,
  errno: number,
): string {
  const unknown = errno === E.ENODEV && kind === "new" ? `: it knows no type ${type}` : "";
  const what =
    kind === "change" || kind === "attributes"
      ? `change ${target}`
      : `mount ${source} at ${target}`;
  return `Cannot ${what} on the HOST: ${errnoText(errno)}${unknown}${hint(at, errno)}`;
}

function hint({ mount }: HostPlace, errno: number): string {
  if (errno !== E.EPERM) return "";
  return ` (does the server allow it: qtfs server --export ${mount.source}:rw,sysmount?)`;
}

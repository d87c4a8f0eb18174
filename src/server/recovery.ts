/**
 * Going on with the session of a process that was killed, from its record: what
 * it had open is opened again and what it had locked is locked again, before
 * anything else is served. Directories being read need nothing, READDIR opens them.
 */
import type { Counters } from "../info/counters.ts";
import { E } from "../sys/errno.ts";
import {
  F_OFD_SETLK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
} from "../sys/lock.ts";
import { allocate } from "../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR } from "../sys/open.ts";
import { FileType, Lock } from "../wire/constants.ts";
import { openRoot } from "./exports.ts";
import { HandleFlag, HandleState } from "./handles.ts";
import { hostFlags } from "./hostflags.ts";
import type { HeldRange, RangeOwner } from "./lockrows.ts";
import { type LockFile, LockTable } from "./locks.ts";
import { exportsFor } from "./named.ts";
import { putFlock } from "./ofdlock.ts";
import type { SessionRecord } from "./record/record.ts";
import { mode, statFd } from "./status.ts";
import type { Tree } from "./tree.ts";
import { type TreeServices, treeOf } from "./trees.ts";
import type { Connected } from "./watched.ts";

/** A session gone on with, and what became of what it had. */
export interface Recovered {
  readonly tree: Tree;
  /** Handles whose file was opened again. */
  reopened: number;
  /** Handles whose file is gone: whatever uses them is answered with ESTALE. */
  stale: number;
  /** Handles that cannot be had again though their file exists: EIO. */
  lost: number;
  /** Ranges and whole files locked again, and those that somebody else has now. */
  locksReclaimed: number;
  locksLost: number;
}

const scratch = allocate(FLOCK_STRUCT_SIZE);

/** A sentence for people on what became of a session of `path`. */
export function describe(path: string, recovered: Recovered): string {
  const { reopened, stale, lost, locksReclaimed, locksLost } = recovered;
  const parts = [`${reopened} files open`];
  if (stale > 0) parts.push(`${stale} gone (ESTALE)`);
  if (locksReclaimed > 0) parts.push(`${locksReclaimed} locks`);
  if (locksLost > 0) parts.push(`${locksLost} locks LOST to others`);
  if (lost > 0) parts.push(`${lost} files not usable any more (EIO)`);
  return `Goes on with a session of ${path} that an earlier process had: ${parts.join(", ")}`;
}

export function countRecovered(counters: Counters, recovered: Recovered): void {
  counters.count("RECOVERED");
  counters.count("REOPENED", recovered.reopened);
  counters.count("STALE_HANDLES", recovered.stale + recovered.lost);
  counters.count("LOCKS_RECLAIMED", recovered.locksReclaimed);
  counters.count("LOCKS_LOST", recovered.locksLost);
}

/**
 * Takes over `record`, which `SessionRecord.open` gave and which is described;
 * or says why it is of no use, a clause for people: the directory is exported no
 * more, is another one or read-only now, or the record is damaged. The record is
 * the caller's still then, to be closed and removed.
 */
export function recover(
  record: SessionRecord,
  services: TreeServices,
  session: Connected,
): Recovered | string {
  const { details } = record;
  if (details === undefined) return "it does not say what it is of";
  const root = openRoot(exportsFor(services, details.name), details.path);
  if (typeof root === "number") return `${details.path} is exported no more`;
  if (root.path !== details.path || root.readOnly !== details.readOnly) {
    close(root.fd);
    return `${details.path} is exported in another way`;
  }
  let tree: Tree;
  try {
    tree = treeOf(root, details.splits, services, session, record);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  tree.allow = root.allow;
  record.beginLife();
  // Before anything is reached: nodes in other mounts are by these.
  tree.mounts?.restore();
  const recovered = { tree, reopened: 0, stale: 0, lost: 0, locksReclaimed: 0, locksLost: 0 };
  for (const handle of tree.handles.closed()) reopen(recovered, handle);
  for (const handle of tree.handles.all()) {
    tree.mounts?.opened(tree.nodes.mountOf(tree.handles.node[handle] as number));
  }
  tree.mounts?.hold(Number.POSITIVE_INFINITY);
  reclaimRanges(recovered);
  return recovered;
}

/** Opens the file of `handle` again, with its whole-file lock. */
function reopen(recovered: Recovered, handle: number): void {
  const { handles, reach } = recovered.tree;
  const row = handles.node[handle] as number;
  const flags = hostFlags(handles.openFlags(handle)) | O_NONBLOCK;
  const isDevice = ((handles.flags[handle] as number) & HandleFlag.DEVICE) !== 0;
  const isLive = ((handles.flags[handle] as number) & HandleFlag.LIVE) !== 0;
  const uid = handles.uid[handle] as number;
  const reopened =
    isLive && uid !== 0
      ? reach.openAs(row, flags, uid, handles.gid[handle] as number)
      : // A device may be what another program has made new meanwhile.
        isDevice
        ? -E.ESTALE
        : reach.reopen(row, handles.fileHandle(handle), flags);
  const fd = regular(reopened);
  if (fd === -E.ESTALE || fd === -E.ENOENT) {
    recovered.stale++;
    if (handles.flock[handle] !== 0) recovered.locksLost++;
    handles.spoil(handle, HandleState.STALE);
    return;
  }
  if (fd >= 0) handles.reopen(handle, fd);
  const held = handles.flock[handle] as number;
  const locked = fd >= 0 && (held === 0 || relock(fd, held) === 0);
  if (held !== 0) {
    if (locked) recovered.locksReclaimed++;
    else recovered.locksLost++;
  }
  if (locked) {
    recovered.reopened++;
    return;
  }
  recovered.lost++;
  handles.spoil(handle, HandleState.LOST);
}

/** `fd` if it is a regular file's, which alone is opened for clients. */
function regular(fd: number): number {
  if (fd < 0) return fd;
  if (statFd(fd) === 0 && (mode() & FileType.MASK) === FileType.REGULAR) return fd;
  close(fd);
  return -E.ESTALE;
}

/** `held`: the wire's Lock type and 1. */
function relock(fd: number, held: number): number {
  return flock(fd, (held === Lock.WRITE + 1 ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

/** Locks every range again, for the owners that held them. */
function reclaimRanges(recovered: Recovered): void {
  const { locks } = recovered.tree;
  for (const { owner, range } of locks.rows.all()) {
    if (reclaim(recovered.tree, owner, range)) {
      recovered.locksReclaimed++;
      continue;
    }
    recovered.locksLost++;
    locks.rows.clear(range.row);
    lose(recovered, owner.handle);
  }
}

/** Whoever used the handle relied on a lock that another may have had meanwhile. */
function lose(recovered: Recovered, handle: number): void {
  const { handles } = recovered.tree;
  if (!handles.has(handle) || (handles.fd[handle] as number) < 0) return;
  handles.spoil(handle, HandleState.LOST);
  recovered.reopened--;
  recovered.lost++;
}

function reclaim(tree: Tree, owner: RangeOwner, range: HeldRange): boolean {
  const file = fileOf(tree, owner);
  if (file === undefined) return false;
  putFlock(scratch, range);
  const locked = fcntlLock(file.fd, F_OFD_SETLK, scratch.address) === 0;
  // Two rows overlap where the process was killed between them: the later one holds.
  if (locked) return tree.locks.note(file, range);
  if (file.ranges.length === 0) {
    tree.locks.drop(LockTable.key(owner.node, owner.ownerHigh, owner.ownerLow));
  }
  return false;
}

/** The owner's open file description, opened again if need be. */
function fileOf(tree: Tree, owner: RangeOwner): LockFile | undefined {
  const { handles, locks, reach } = tree;
  const { node, ownerHigh, ownerLow, handle } = owner;
  const known = locks.get(LockTable.key(node, ownerHigh, ownerLow));
  if (known !== undefined) return known;
  if (locks.full) return undefined;
  const usable = handles.has(handle) && (handles.fd[handle] as number) >= 0;
  if (!usable || handles.node[handle] !== node) return undefined;
  let fd = reach.open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fd = reach.open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  return fd < 0 ? undefined : locks.add(node, ownerHigh, ownerLow, fd, handle);
}

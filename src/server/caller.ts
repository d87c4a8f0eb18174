/**
 * Whose rights new files are made with.
 *
 * The client's kernel has checked every permission (`default_permissions`),
 * with the caller's real capabilities and user namespace, which the server
 * cannot know. So the server acts with its own rights, and takes the caller's
 * ids only where something is made, for it to belong to its maker. CAP_FSETID
 * goes along: a caller outside the group may not make a set-group-id file. Files of
 * the kernel are another matter (asker.ts).
 */
import { fchmod } from "../sys/attr.ts";
import { cstring } from "../sys/cstring.ts";
import { dropFsetid, raiseFsetid, setFsGid, setFsUid } from "../sys/identity.ts";
import { umask as setUmask } from "../sys/process.ts";
import { S_ISGID, S_ISUID } from "../sys/stat.ts";
import { removexattr } from "../sys/xattr.ts";
import { setGroup } from "./asker.ts";
import { procPath } from "./reach.ts";
import { mode as describedMode, statFd } from "./status.ts";

let umask = -1;
let uid = 0;
let gid = 0;

/**
 * Makes this thread act as `asUid`:`asGid`, with `asGroup` as its one
 * supplementary group unless that is -1, and with `asUmask`, until `asServer`.
 */
export function asCaller(asUmask: number, asUid: number, asGid: number, asGroup: number): void {
  if (asUmask !== umask) {
    setUmask(asUmask);
    umask = asUmask;
  }
  setGroup(asGroup);
  if (asGid !== gid) {
    setFsGid(asGid);
    gid = asGid;
  }
  if (asUid !== uid) {
    // Leaving fsuid 0 drops the file capabilities; they come back but for FSETID.
    setFsUid(asUid);
    dropFsetid();
    uid = asUid;
  }
}

/** Ends `asCaller`. */
export function asServer(): void {
  if (uid !== 0) {
    setFsUid(0);
    raiseFsetid();
    uid = 0;
  }
  if (gid !== 0) {
    setFsGid(0);
    gid = 0;
  }
}

/** What is written until `keepSetId` clears set-id bits, unless `callerGid` owns the file's group. */
export function dropSetId(callerGid: number): void {
  setGroup(-1);
  setFsGid(callerGid);
  dropFsetid();
}

/** Ends `dropSetId`. */
export function keepSetId(): void {
  raiseFsetid();
  setFsGid(0);
}

const GROUP_EXECUTE = 0o010;
const PERMISSIONS = 0o7777;

/**
 * Clears the set-id bits and file capabilities of `fd`, as the HOST's kernel
 * would for a caller without CAP_FSETID (setattr_should_drop_suidgid). For calls
 * that run in another thread, whose capabilities are its own. Whether there were any.
 */
export function stripSetId(fd: number): boolean {
  if (statFd(fd) !== 0) return false;
  const mode = describedMode();
  const groupBit = mode & GROUP_EXECUTE ? S_ISGID : 0;
  const stripped = mode & ~(S_ISUID | groupBit);
  if (stripped !== mode) fchmod(fd, stripped & PERMISSIONS);
  removexattr(procPath(fd), cstring("security.capability"));
  return stripped !== mode;
}

/** Whether `fd` has a set-id bit. */
export function hasSetId(fd: number): boolean {
  return statFd(fd) === 0 && (describedMode() & (S_ISUID | S_ISGID)) !== 0;
}

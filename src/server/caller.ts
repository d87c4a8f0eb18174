/**
 * Whose rights new files are made with.
 *
 * The client's kernel has checked every permission (`default_permissions`),
 * with the caller's real capabilities and user namespace, which the server
 * cannot know. So the server acts with its own rights, and takes the caller's
 * ids only where something is made, for it to belong to its maker. CAP_FSETID
 * goes along: a caller outside the group may not make a set-group-id file.
 */
import { dropFsetid, raiseFsetid, setFsGid, setFsUid, setGroups } from "../sys/identity.ts";
import { allocate } from "../sys/memory.ts";
import { umask as setUmask } from "../sys/process.ts";

const groups = allocate(4);

let umask = -1;
let uid = 0;
let gid = 0;
let group = -1;

/**
 * Makes this thread act as `asUid`:`asGid`, with `asGroup` as its one
 * supplementary group unless that is -1, and with `asUmask`, until `asServer`.
 */
export function asCaller(asUmask: number, asUid: number, asGid: number, asGroup: number): void {
  if (asUmask !== umask) {
    setUmask(asUmask);
    umask = asUmask;
  }
  if (asGroup !== group) {
    groups.view.setUint32(0, asGroup >>> 0, true);
    setGroups(groups.address, asGroup < 0 ? 0 : 1);
    group = asGroup;
  }
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

/**
 * Being who has connected on the DPU while a connection is made here: who listens sees
 * that user and group (SO_PEERCRED). Of this thread alone.
 */
import { E } from "../../sys/errno.ts";
import {
  geteuid,
  keepFileAccess,
  setEffectiveGid,
  setEffectiveUid,
  setGroups,
} from "../../sys/identity.ts";
import { allocate } from "../../sys/memory.ts";
import { ProtocolError } from "../../wire/error.ts";

/** Supplementary groups that are taken along; more are left out. */
const GROUPS_MAX = 256;
const ID_MAX = 0xffff_fffe;

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

const groups = allocate(4 * GROUPS_MAX);
/** Whether the server may be anybody else. */
const mayBecome = geteuid() === 0;

/** Checks a user or group id of the peer's: (uid_t)-1 stands for none, and would change nothing. */
export function idOf(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= ID_MAX) {
    return value;
  }
  throw new ProtocolError("caller has no valid id");
}

/** Checks the ids of a description. */
export function callerOf(uid: unknown, gid: unknown, also: unknown): Caller {
  if (!Array.isArray(also)) throw new ProtocolError("caller has no groups");
  return { uid: idOf(uid), gid: idOf(gid), groups: also.slice(0, GROUPS_MAX).map(idOf) };
}

function enter({ uid, gid, groups: also }: Caller): number {
  for (const [i, group] of also.entries()) groups.view.setUint32(4 * i, group, true);
  let result = setGroups(groups.address, also.length);
  if (result === 0) result = setEffectiveGid(gid);
  if (result === 0 && uid !== 0) result = setEffectiveUid(uid);
  return result;
}

function leave(uid: number): void {
  if (uid !== 0) setEffectiveUid(0);
  setEffectiveGid(0);
  setGroups(groups.address, 0);
}

/**
 * What `call` comes to as `caller`: its result, or -errno. Permissions of files were checked
 * on the DPU, where all of the caller's rights are known: where they alone are in the
 * way, they are passed.
 */
export function asCaller(caller: Caller, call: () => number): number {
  if (!mayBecome) return call();
  let result = enter(caller);
  if (result === 0) {
    result = call();
    if (result === -E.EACCES && caller.uid !== 0 && keepFileAccess() === 0) result = call();
  }
  leave(caller.uid);
  return result;
}

/**
 * Being the caller altogether, for files of the kernel (Policy.LIVE). They ask at open,
 * read and write who it is that wants to know (ptrace_may_access, f_cred, capabilities
 * of the reader), and show, or refuse, accordingly; what the client's kernel has
 * checked is their mode alone.
 */
import { E } from "../sys/errno.ts";
import {
  geteuid,
  keepFileAccess,
  setEffectiveGid,
  setEffectiveUid,
  setGroups,
} from "../sys/identity.ts";
import { allocate } from "../sys/memory.ts";

const groups = allocate(4);
/** Unknown at first: the thread still has the groups that the server was started with. */
let group = -2;

/** Whether the server may be anybody else. */
const mayBecome = geteuid() === 0;

/** Gives this thread `wanted` as its one supplementary group, or none with -1. */
export function setGroup(wanted: number): void {
  if (wanted === group) return;
  groups.view.setUint32(0, wanted >>> 0, true);
  setGroups(groups.address, wanted < 0 ? 0 : 1);
  group = wanted;
}

/**
 * Makes this thread `uid`:`gid`, without capabilities, until `endCaller`; root stays
 * what the server is. A caller's supplementary groups are not known here.
 */
export function becomeCaller(uid: number, gid: number): void {
  if (uid === 0 || !mayBecome) return;
  setGroup(-1);
  setEffectiveGid(gid);
  setEffectiveUid(uid);
}

/** Ends `becomeCaller`. */
export function endCaller(uid: number): void {
  if (uid === 0 || !mayBecome) return;
  setEffectiveUid(0);
  setEffectiveGid(0);
}

/**
 * What `call` answers as `uid`:`gid`. Permissions of files are the client's affair, who
 * knows the caller's groups: where they alone are in the way, they are passed.
 */
export function asCallerAltogether(uid: number, gid: number, call: () => number): number {
  becomeCaller(uid, gid);
  let result = call();
  if (result === -E.EACCES && uid !== 0 && mayBecome && keepFileAccess() === 0) result = call();
  endCaller(uid);
  return result;
}

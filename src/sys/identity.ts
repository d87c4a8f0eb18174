/**
 * Acting as somebody else, in the calling thread alone.
 *
 * The C library's setgroups and setresuid change every thread of a process
 * (nptl(7)); a server that acts for several callers at once needs the raw
 * calls.
 */
import { SYS } from "./arch.ts";
import { libc, u32 } from "./libc.ts";
import { allocate, type Region } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({ geteuid: { args: [], returns: u32 } });

// linux/capability.h
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FSETID = 4;
export const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/** struct __user_cap_header_struct: version u32, pid i32 (0: this thread). */
export const CAP_HEADER = { version: 0, pid: 4 } as const;
export const CAP_HEADER_STRUCT_SIZE = 8;

/** struct __user_cap_data_struct; version 3 takes two, low bits first. */
export const CAP_DATA = { effective: 0, permitted: 4, inheritable: 8 } as const;
export const CAP_DATA_STRUCT_SIZE = 12;

/**
 * setfsuid(2): returns the uid before; it has no error. Leaving 0 takes the
 * file capabilities out of the effective set, returning to 0 restores them.
 */
export function setFsUid(uid: number): number {
  return rawSyscall(SYS.setfsuid, uid);
}

/** setfsgid(2): returns the gid before; it has no error. */
export function setFsGid(gid: number): number {
  return rawSyscall(SYS.setfsgid, gid);
}

/** setgroups(2) of this thread: `count` u32 at `address`. Returns 0 or -errno. */
export function setGroups(address: number, count: number): number {
  return rawSyscall(SYS.setgroups, count, address);
}

const UNCHANGED = -1;

/**
 * Makes `uid` the thread's effective and file system user: leaving 0 empties the
 * effective capabilities, returning to 0 fills them from the permitted ones
 * (capabilities(7)), which stay as real and saved user do. Returns 0 or -errno.
 */
export function setEffectiveUid(uid: number): number {
  return rawSyscall(SYS.setresuid, UNCHANGED, uid, UNCHANGED);
}

/** The same for the group, which no capability follows. */
export function setEffectiveGid(gid: number): number {
  return rawSyscall(SYS.setresgid, UNCHANGED, gid, UNCHANGED);
}

/** The effective user. */
export function geteuid(): number {
  return c.geteuid();
}

interface CapabilityCall {
  readonly header: number;
  readonly data: number;
  readonly region: Region;
}

function capabilityCall(): CapabilityCall {
  const dataOffset = CAP_HEADER_STRUCT_SIZE;
  const region = allocate(dataOffset + 2 * CAP_DATA_STRUCT_SIZE);
  region.view.setUint32(CAP_HEADER.version, LINUX_CAPABILITY_VERSION_3, true);
  return { header: region.address, data: region.address + dataOffset, region };
}

/** The thread's capabilities as they are now, with the effective ones that `change` makes of all it may have. */
function prepared(change: (effective: number, permitted: number) => number): CapabilityCall {
  const call = capabilityCall();
  rawSyscall(SYS.capget, call.header, call.data);
  const at = CAP_HEADER_STRUCT_SIZE;
  const permitted = call.region.view.getUint32(at + CAP_DATA.permitted, true);
  const effective = call.region.view.getUint32(at + CAP_DATA.effective, true);
  call.region.view.setUint32(at + CAP_DATA.effective, change(effective, permitted), true);
  return call;
}

// Each Worker loads this module while its fsuid is still 0: later the effective
// set may lack the file capabilities, and raiseFsetid would take them away.
const FSETID = 1 << CAP_FSETID;
const ACCESS = (1 << CAP_DAC_OVERRIDE) | (1 << CAP_DAC_READ_SEARCH);
const without = prepared((effective) => effective & ~FSETID);
const withFsetid = prepared((effective, permitted) => effective | (permitted & FSETID));
const toAccess = prepared((_, permitted) => permitted & ACCESS);
toAccess.region.view.setUint32(
  CAP_HEADER_STRUCT_SIZE + CAP_DATA_STRUCT_SIZE + CAP_DATA.effective,
  0,
  true,
);

/**
 * Takes CAP_FSETID out of this thread's effective set, so that a write or a
 * chown clears the setuid and setgid bits as it would for an ordinary user.
 *
 * To be called, and undone, while the thread's fsuid is 0: both restore the
 * rest of the effective set as it was at start. Returns 0 or -errno.
 */
export function dropFsetid(): number {
  return rawSyscall(SYS.capset, without.header, without.data);
}

/**
 * Leaves a thread whose effective user is not 0 the capabilities to pass permissions
 * of files, and no others, until that user changes again. Returns 0 or -errno.
 */
export function keepFileAccess(): number {
  return rawSyscall(SYS.capset, toAccess.header, toAccess.data);
}

/** Puts CAP_FSETID back; see dropFsetid. */
export function raiseFsetid(): number {
  return rawSyscall(SYS.capset, withFsetid.header, withFsetid.data);
}

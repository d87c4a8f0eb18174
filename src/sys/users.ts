/** Users and groups of this machine, from wherever nsswitch.conf(5) says that they are. */
import { CString, type Pointer } from "bun:ffi";
import { cstring } from "./cstring.ts";
import { addr, i32, libc, u32 } from "./libc.ts";
import { allocate, getWord64 } from "./memory.ts";

const c = libc({
  getpwnam_r: { args: [addr, addr, addr, addr, addr], returns: i32 },
  getpwuid_r: { args: [u32, addr, addr, addr, addr], returns: i32 },
  getgrnam_r: { args: [addr, addr, addr, addr, addr], returns: i32 },
  getgrouplist: { args: [addr, u32, addr, addr], returns: i32 },
});

/** struct passwd (pwd.h): pointers, but uid and gid, which are u32. */
export const PASSWD = { name: 0, uid: 16, gid: 20, dir: 32, shell: 40 } as const;
export const PASSWD_STRUCT_SIZE = 48;
/** struct group (grp.h) */
export const GROUP = { gid: 16 } as const;
export const GROUP_STRUCT_SIZE = 32;

const TEXT_BYTES = 64 * 1024;
const GROUPS_MAX = 1024;

/** Of one call: an entry, its texts, and where it is or NULL. */
const entry = allocate(PASSWD_STRUCT_SIZE);
const text = allocate(TEXT_BYTES);
const result = allocate(8);
const list = allocate(GROUPS_MAX * 4);
const count = allocate(4);

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** The user of that name or number; undefined: there is none. Not for hot paths: it may ask the network. */
export function findUser(who: string | number): User | undefined {
  const rest = [entry.address, text.address, text.size, result.address] as const;
  const errno =
    typeof who === "number" ? c.getpwuid_r(who, ...rest) : c.getpwnam_r(cstring(who), ...rest);
  if (errno !== 0 || getWord64(result.words, 0) === 0) return undefined;
  const textAt = (offset: number) =>
    new CString(getWord64(entry.words, offset / 4) as Pointer).toString();
  return {
    name: textAt(PASSWD.name),
    uid: entry.view.getUint32(PASSWD.uid, true),
    gid: entry.view.getUint32(PASSWD.gid, true),
    home: textAt(PASSWD.dir),
    shell: textAt(PASSWD.shell),
  };
}

/** The number of the group of that name; undefined: there is none. */
export function findGroup(name: string): number | undefined {
  const errno = c.getgrnam_r(cstring(name), entry.address, text.address, text.size, result.address);
  if (errno !== 0 || getWord64(result.words, 0) === 0) return undefined;
  return entry.view.getUint32(GROUP.gid, true);
}

/** The groups of a user whose own is `gid`, that one among them; the first 1024. */
export function groupsOf(name: string, gid: number): number[] {
  count.view.setInt32(0, GROUPS_MAX, true);
  c.getgrouplist(cstring(name), gid, list.address, count.address);
  return [...list.words.subarray(0, Math.min(count.view.getInt32(0, true), GROUPS_MAX))];
}

/** How far a file may be cached, by the type of the HOST's file system it is in. */
import { allocate } from "../sys/memory.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../sys/stat.ts";
import { Policy } from "../wire/constants.ts";

/** File systems whose files are made when they are read (linux/magic.h). */
const LIVE: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0xcafe4a11, // bpf
  0x73636673, // securityfs
  0x62656570, // configfs
  0x1cd1, // devpts
  0x19800202, // mqueue
  0xf97cff8c, // selinuxfs
  0x6e736673, // nsfs
  0x07655821, // resctrl
  0xde5e81e4, // efivarfs
  0x6165676c, // pstore
]);

const buffer = allocate(STATFS_STRUCT_SIZE);

/** Policy of the file system that `fd` is in. */
export function policyOfFileSystem(fd: number): number {
  if (fstatfs(fd, buffer.address) !== 0) return Policy.LIVE;
  return LIVE.has(buffer.view.getUint32(STATFS.type, true)) ? Policy.LIVE : Policy.ORDINARY;
}

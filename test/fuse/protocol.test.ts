/**
 * Every number of src/fuse/protocol.ts against linux/fuse.h, by the C compiler.
 *
 * What the installed header is too old for is quoted in NEWER, from
 * include/uapi/linux/fuse.h of the kernel that brought it; a newer header takes
 * precedence.
 */
import { describe, expect, test } from "bun:test";
import * as protocol from "../../src/fuse/protocol.ts";
import { evaluate, machines } from "../sys/cprobe.ts";

const NEWER = `
#if FUSE_KERNEL_MINOR_VERSION < 38 /* Linux 6.2 */
#define fuse_in_header fuse_in_header_of_7_38
struct fuse_in_header {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t total_extlen;
  uint16_t padding;
};
#define fuse_notify_inval_entry_out fuse_notify_inval_entry_out_of_7_38
struct fuse_notify_inval_entry_out {
  uint64_t parent;
  uint32_t namelen;
  uint32_t flags;
};
struct fuse_ext_header {
  uint32_t size;
  uint32_t type;
};
#endif
#ifndef FUSE_CREATE_SUPP_GROUP /* Linux 6.3 */
#define FUSE_CREATE_SUPP_GROUP (1ULL << 34)
enum { FUSE_EXT_GROUPS = 32 };
struct fuse_supp_groups {
  uint32_t nr_groups;
  uint32_t groups[];
};
#endif
#if FUSE_KERNEL_MINOR_VERSION < 39 /* Linux 6.6 */
enum { FUSE_STATX = 52 };
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
struct fuse_statx_in {
  uint32_t getattr_flags;
  uint32_t reserved;
  uint64_t fh;
  uint32_t sx_flags;
  uint32_t sx_mask;
};
struct fuse_sx_time {
  int64_t tv_sec;
  uint32_t tv_nsec;
  int32_t __reserved;
};
struct fuse_statx {
  uint32_t mask;
  uint32_t blksize;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t __spare0[1];
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributes_mask;
  struct fuse_sx_time atime;
  struct fuse_sx_time btime;
  struct fuse_sx_time ctime;
  struct fuse_sx_time mtime;
  uint32_t rdev_major;
  uint32_t rdev_minor;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint64_t __spare2[14];
};
struct fuse_statx_out {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t flags;
  uint64_t spare[2];
  struct fuse_statx stat;
};
#endif
#if FUSE_KERNEL_MINOR_VERSION < 40 /* Linux 6.9 */
#define FUSE_HAS_RESEND (1ULL << 39)
#endif
#if FUSE_KERNEL_MINOR_VERSION < 41 /* Linux 6.12 */
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#endif
#if FUSE_KERNEL_MINOR_VERSION < 45 /* Linux 6.18 */
enum { FUSE_COPY_FILE_RANGE_64 = 53 };
#endif
`;

/** Constants of ours that are no number of the header. */
const OWN = new Set(["KERNEL_MINOR_VERSION", "KERNEL_MINOR_OLDEST", "OPCODE_COUNT"]);

/** Tables of constants: how an entry is called in the header. */
const TABLES: Record<string, (name: string) => string> = {
  Opcode: (name) => `FUSE_${name}`,
  Fattr: (name) => `FATTR_${name}`,
  Fopen: (name) => `FOPEN_${name}`,
  Notify: (name) => `FUSE_NOTIFY_${name}`,
};

/** Names of the header where they do not follow from ours. */
const CONSTANTS: Record<string, string> = {
  KERNEL_VERSION: "FUSE_KERNEL_VERSION",
  DIRENT_NAME_OFFSET: "FUSE_NAME_OFFSET",
};

/** Structs that are not called fuse_ and their name in lower case. */
const STRUCTS: Record<string, string> = {
  STATFS_OUT: "fuse_kstatfs",
  INVAL_INODE_OUT: "fuse_notify_inval_inode_out",
  INVAL_ENTRY_OUT: "fuse_notify_inval_entry_out",
  STORE_OUT: "fuse_notify_store_out",
  POLL_WAKEUP_OUT: "fuse_notify_poll_wakeup_out",
};

/** Sizes of the struct that holds the one whose fields are in the table. */
const SIZES: Record<string, string> = { STATFS_OUT_SIZE: "fuse_statfs_out" };

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const struct = (name: string) => `struct ${STRUCTS[name] ?? `fuse_${name.toLowerCase()}`}`;

/** The field of LK_IN that lies in the struct fuse_file_lock within. */
function field(table: string, name: string): string {
  const ofLock = ["start", "end", "type", "pid"].includes(name) && /^LK_/.test(table);
  return ofLock ? `lk.${name}` : snake(name);
}

/** Our numbers, by the C expression each must equal. */
function declared(): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, value] of Object.entries(protocol)) {
    if (OWN.has(name)) continue;
    if (typeof value === "number") {
      const size = /^(.+)_SIZE$/.exec(name)?.[1];
      const type = SIZES[name] === undefined ? struct(size ?? "") : `struct ${SIZES[name]}`;
      found.set(
        size === undefined ? (CONSTANTS[name] ?? `FUSE_${name}`) : `sizeof(${type})`,
        value,
      );
      continue;
    }
    for (const [entry, number] of Object.entries(value as Record<string, number>)) {
      if (name === "InitBit") found.set(`__builtin_ctzll(FUSE_${entry})`, number);
      else if (name in TABLES) found.set((TABLES[name] as (n: string) => string)(entry), number);
      else found.set(`offsetof(${struct(name)}, ${field(name, entry)})`, number);
    }
  }
  return found;
}

describe.each([...machines])("headers of %s", (machine) => {
  test("opcodes, flags, offsets and sizes", () => {
    const ours = declared();
    const expressions = [...ours.keys()];
    const unit = { includes: ["linux/fuse.h"], preamble: NEWER, expressions };
    const theirs = evaluate([unit], machine)[0] ?? [];
    const expected = expressions.map((expression, i) => [expression, theirs[i]]);
    expect<unknown>(Object.fromEntries(ours)).toEqual(Object.fromEntries(expected));
  });
});

test("every export is looked at", () => {
  const numbers = Object.entries(protocol).flatMap(([name, value]) =>
    OWN.has(name) ? [] : typeof value === "number" ? [name] : Object.keys(value),
  );
  expect(
    Object.keys(protocol)
      .filter((name) => OWN.has(name))
      .sort(),
  ).toEqual([...OWN].sort());
  expect(declared().size).toBe(numbers.length);
});

test("tables by opcode have room for every opcode, versions are in order", () => {
  expect(protocol.OPCODE_COUNT).toBeGreaterThan(Math.max(...Object.values(protocol.Opcode)));
  expect(protocol.KERNEL_MINOR_VERSION).toBeGreaterThanOrEqual(protocol.KERNEL_MINOR_OLDEST);
});

/**
 * What installed headers may be too old for, in C to follow their inclusion:
 * quoted from include/uapi/linux/fuse.h of the kernel that brought it. A header
 * that has it takes precedence.
 */
export const NEWER = `
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
#define FUSE_EXPIRE_ONLY (1 << 0)
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
enum { FUSE_NOTIFY_RESEND = 7 };
#endif
#if FUSE_KERNEL_MINOR_VERSION < 41 /* Linux 6.12 */
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#endif
#if FUSE_KERNEL_MINOR_VERSION < 44 /* Linux 6.16 */
enum { FUSE_NOTIFY_INC_EPOCH = 8 };
#endif
#if FUSE_KERNEL_MINOR_VERSION < 45 /* Linux 6.18 */
enum { FUSE_COPY_FILE_RANGE_64 = 53, FUSE_NOTIFY_PRUNE = 9 };
struct fuse_notify_prune_out {
  uint32_t count;
  uint32_t padding;
  uint64_t spare;
};
#endif
`;

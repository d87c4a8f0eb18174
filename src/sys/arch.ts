/**
 * What differs between x86-64 and arm64 in the system call interface.
 *
 * Both tables are present, so that either machine can check both; the rest of
 * `src/sys` uses the running machine's. The numbers are those of
 * `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (arm64), the open flags
 * those of `asm-generic/fcntl.h`, overridden by arm64's `asm/fcntl.h`.
 */

export type Arch = "x64" | "arm64";

/** System call numbers: [x86-64, arm64]. */
const CALLS = {
  accept4: [288, 242],
  bind: [49, 200],
  capget: [125, 90],
  capset: [126, 91],
  chroot: [161, 51],
  clone: [56, 220],
  clone3: [435, 435],
  close_range: [436, 436],
  connect: [42, 203],
  copy_file_range: [326, 285],
  dup3: [292, 24],
  execve: [59, 221],
  execveat: [322, 281],
  exit_group: [231, 94],
  faccessat: [269, 48],
  faccessat2: [439, 439],
  fallocate: [285, 47],
  fanotify_init: [300, 262],
  fanotify_mark: [301, 263],
  fchdir: [81, 50],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  fchownat: [260, 54],
  fcntl: [72, 25],
  fdatasync: [75, 83],
  flock: [73, 32],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  fstatfs: [138, 44],
  fsync: [74, 82],
  getdents64: [217, 61],
  getpriority: [140, 141],
  getsockopt: [55, 209],
  gettid: [186, 178],
  getxattr: [191, 8],
  inotify_add_watch: [254, 27],
  inotify_init1: [294, 26],
  inotify_rm_watch: [255, 28],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  ioctl: [16, 29],
  kcmp: [312, 272],
  futex: [202, 98],
  kill: [62, 129],
  lgetxattr: [192, 9],
  listen: [50, 201],
  listmount: [458, 458],
  listxattr: [194, 11],
  llistxattr: [195, 12],
  memfd_create: [319, 279],
  mknodat: [259, 33],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  name_to_handle_at: [303, 264],
  newfstatat: [262, 79],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  openat: [257, 56],
  openat2: [437, 437],
  perf_event_open: [298, 241],
  pidfd_getfd: [438, 438],
  pidfd_open: [434, 434],
  pidfd_send_signal: [424, 424],
  pivot_root: [155, 41],
  ppoll: [271, 73],
  prctl: [157, 167],
  pread64: [17, 67],
  preadv2: [327, 286],
  prlimit64: [302, 261],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  pwrite64: [18, 68],
  read: [0, 63],
  readlinkat: [267, 78],
  recvfrom: [45, 207],
  recvmsg: [47, 212],
  renameat2: [316, 276],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigqueueinfo: [129, 138],
  rt_tgsigqueueinfo: [297, 240],
  sched_getaffinity: [204, 123],
  sched_setaffinity: [203, 122],
  seccomp: [317, 277],
  sendmsg: [46, 211],
  sendto: [44, 206],
  setfsgid: [123, 152],
  setfsuid: [122, 151],
  setgid: [106, 144],
  setgroups: [116, 159],
  setns: [308, 268],
  setpriority: [141, 140],
  setresgid: [119, 149],
  setresuid: [117, 147],
  setsid: [112, 157],
  setsockopt: [54, 208],
  setuid: [105, 146],
  socket: [41, 198],
  socketpair: [53, 199],
  statfs: [137, 43],
  statx: [332, 291],
  syncfs: [306, 267],
  tgkill: [234, 131],
  tkill: [200, 130],
  umask: [95, 166],
  umount2: [166, 39],
  unlinkat: [263, 35],
  unshare: [272, 97],
  utimensat: [280, 88],
  wait4: [61, 260],
  write: [1, 64],
} as const;

export type CallName = keyof typeof CALLS;
export type CallTable = Readonly<Record<CallName, number>>;

/** The open flags whose bits differ; the others are in open.ts. */
export interface OpenFlagTable {
  readonly O_DIRECT: number;
  readonly O_LARGEFILE: number;
  readonly O_DIRECTORY: number;
  readonly O_NOFOLLOW: number;
}

function column(index: 0 | 1): CallTable {
  const numbers: Partial<Record<CallName, number>> = {};
  for (const name of Object.keys(CALLS) as CallName[]) numbers[name] = CALLS[name][index];
  return numbers as CallTable;
}

/** System call numbers of both machines. */
export const tables: Readonly<Record<Arch, CallTable>> = { x64: column(0), arm64: column(1) };

/** Differing open flags of both machines. */
export const openFlagTables: Readonly<Record<Arch, OpenFlagTable>> = {
  x64: {
    O_DIRECT: 0o40000,
    O_LARGEFILE: 0o100000,
    O_DIRECTORY: 0o200000,
    O_NOFOLLOW: 0o400000,
  },
  arm64: {
    O_DIRECTORY: 0o40000,
    O_NOFOLLOW: 0o100000,
    O_DIRECT: 0o200000,
    O_LARGEFILE: 0o400000,
  },
};

/** struct epoll_event of linux/eventpoll.h: events u32, data u64; packed on x86-64 alone. */
export const epollEventTables = {
  x64: { events: 0, data: 4, size: 12 },
  arm64: { events: 0, data: 8, size: 16 },
} as const;

function runningArch(): Arch {
  const arch = process.arch;
  if (arch === "x64" || arch === "arm64") return arch;
  throw new Error(`qtfs runs on x86-64 and arm64, this machine is ${arch}`);
}

/** The running machine. */
export const ARCH: Arch = runningArch();

/** The running machine's system call numbers. */
export const SYS: CallTable = tables[ARCH];

/** The running machine's differing open flags. */
export const ARCH_OPEN_FLAGS: OpenFlagTable = openFlagTables[ARCH];

/** The running machine's struct epoll_event. */
export const ARCH_EPOLL_EVENT = epollEventTables[ARCH];

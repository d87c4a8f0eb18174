/**
 * Every constant, offset and size that src/sys exports, against the C headers
 * of this machine and of arm64.
 */
import { describe, expect, test } from "bun:test";
import { ARCH } from "../../src/sys/arch.ts";
import * as attr from "../../src/sys/attr.ts";
import * as cgroup from "../../src/sys/cgroup.ts";
import * as clock from "../../src/sys/clock.ts";
import * as epoll from "../../src/sys/epoll.ts";
import { E } from "../../src/sys/errno.ts";
import * as fanotify from "../../src/sys/fanotify.ts";
import * as fsmount from "../../src/sys/fsmount.ts";
import * as handle from "../../src/sys/handle.ts";
import * as identity from "../../src/sys/identity.ts";
import * as inotify from "../../src/sys/inotify.ts";
import * as io from "../../src/sys/io.ts";
import * as iouring from "../../src/sys/iouring.ts";
import * as limits from "../../src/sys/limits.ts";
import * as lock from "../../src/sys/lock.ts";
import * as message from "../../src/sys/message.ts";
import * as mount from "../../src/sys/mount.ts";
import * as open from "../../src/sys/open.ts";
import * as openssl from "../../src/sys/openssl/numbers.ts";
import * as perf from "../../src/sys/perf.ts";
import * as poll from "../../src/sys/poll.ts";
import * as processFamily from "../../src/sys/process.ts";
import * as scm from "../../src/sys/scm.ts";
import * as seccomp from "../../src/sys/seccomp.ts";
import * as signals from "../../src/sys/signals.ts";
import * as sockaddr from "../../src/sys/sockaddr.ts";
import * as sockdiag from "../../src/sys/sockdiag.ts";
import * as socket from "../../src/sys/socket.ts";
import * as sockopt from "../../src/sys/sockopt.ts";
import * as spawn from "../../src/sys/spawn.ts";
import * as stat from "../../src/sys/stat.ts";
import * as terminal from "../../src/sys/terminal.ts";
import * as tree from "../../src/sys/tree.ts";
import * as users from "../../src/sys/users.ts";
import * as xattr from "../../src/sys/xattr.ts";
import { evaluate, machines, type Unit } from "./cprobe.ts";

interface Struct {
  /** The C type. */
  readonly type: string;
  /** The C field of ours: a prefix, or a rule. */
  readonly field: string | ((name: string) => string);
}

interface Family {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly includes: readonly string[];
  /** Only these of the module's constants; all without it. */
  readonly only?: RegExp;
  /** The C expression of a constant that has another name there. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** What is not of the machine, but of a package that is here for the running one alone. */
  readonly isNative?: boolean;
  /** By the name of our table of offsets. */
  readonly structs?: Readonly<Record<string, Struct>>;
}

/**
 * Not in any exported header (socket.test.ts finds it by calling), or not in those that
 * Debian 12 has (linux/pidfd.h of Linux 6.9: O_EXCL).
 */
const KERNEL_INTERNAL = new Set(["SCM_MAX_FD", "PIDFD_THREAD"]);
/** The four open flags that depend on the machine: arch.test.ts. */
const PER_MACHINE = new Set(["O_DIRECT", "O_LARGEFILE", "O_DIRECTORY", "O_NOFOLLOW", "O_TMPFILE"]);

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const snakeField = (name: string) => snake(name);

function statxField(name: string): string {
  const time = /^(.time)(Sec|Nsec)$/.exec(name);
  return time ? `stx_${time[1]}.tv_${time[2]?.toLowerCase()}` : `stx_${snake(name)}`;
}

/** The first two are those of its header. */
const infoField = (name: string) => (["info_type", "len"].includes(name) ? `hdr.${name}` : name);

const networkHeaders = [
  "sys/socket.h",
  "sys/un.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "linux/vm_sockets.h",
  "sys/time.h",
];

const families: readonly Family[] = [
  {
    name: "open",
    exports: open,
    includes: ["linux/fcntl.h", "linux/openat2.h"],
    renamed: { O_ASYNC: "FASYNC" },
    structs: { OPEN_HOW: { type: "struct open_how", field: "" } },
  },
  {
    name: "io",
    exports: io,
    only: /^SEEK_|^FALLOC_/,
    includes: ["linux/fs.h", "linux/falloc.h"],
  },
  {
    name: "io, C library",
    exports: io,
    only: /^SPLICE_|^IOVEC/,
    includes: ["fcntl.h", "sys/uio.h"],
    structs: { IOVEC: { type: "struct iovec", field: "iov_" } },
  },
  {
    name: "stat",
    exports: stat,
    includes: ["linux/stat.h", "asm/statfs.h"],
    structs: {
      STATX: { type: "struct statx", field: statxField },
      STATFS: { type: "struct statfs", field: "f_" },
    },
  },
  {
    name: "tree",
    exports: tree,
    includes: ["linux/fs.h", "dirent.h"],
    structs: { DIRENT: { type: "struct dirent64", field: "d_" } },
  },
  {
    name: "attr",
    exports: attr,
    includes: ["sys/stat.h", "sys/types.h"],
    renamed: { KEEP_OWNER: "(uid_t)-1" },
    structs: { TIMESPEC: { type: "struct timespec", field: "tv_" } },
  },
  { name: "xattr", exports: xattr, includes: ["linux/xattr.h", "linux/limits.h"] },
  {
    name: "lock",
    exports: lock,
    includes: ["linux/fcntl.h"],
    structs: { FLOCK: { type: "struct flock", field: "l_" } },
  },
  {
    name: "poll",
    exports: poll,
    includes: ["poll.h", "sys/eventfd.h"],
    structs: { POLLFD: { type: "struct pollfd", field: "" } },
  },
  {
    name: "identity",
    exports: identity,
    includes: ["linux/capability.h"],
    renamed: { LINUX_CAPABILITY_VERSION_3: "_LINUX_CAPABILITY_VERSION_3" },
    structs: {
      CAP_HEADER: { type: "struct __user_cap_header_struct", field: "" },
      CAP_DATA: { type: "struct __user_cap_data_struct", field: "" },
    },
  },
  {
    name: "handle",
    exports: handle,
    includes: ["fcntl.h"],
    structs: {
      HANDLE: {
        type: "struct file_handle",
        field: (name) => (name === "data" ? "f_handle" : `handle_${name}`),
      },
    },
  },
  { name: "mount", exports: mount, only: /^MS_/, includes: ["linux/mount.h"] },
  {
    name: "fsmount",
    exports: fsmount,
    includes: ["linux/fcntl.h", "linux/mount.h"],
    structs: { MOUNT_ATTR: { type: "struct mount_attr", field: "" } },
  },
  // The struct is packed on x86-64 alone: arch.test.ts.
  {
    name: "epoll",
    exports: epoll,
    only: /^EPOLL([A-Z]+|_CTL_.*|_CLOEXEC)$/,
    includes: ["sys/epoll.h"],
  },
  {
    name: "fanotify",
    exports: fanotify,
    includes: ["linux/fanotify.h"],
    structs: {
      FAN_METADATA: { type: "struct fanotify_event_metadata", field: "" },
      FAN_INFO: { type: "struct fanotify_event_info_fid", field: infoField },
    },
  },
  {
    name: "inotify",
    exports: inotify,
    includes: ["sys/inotify.h"],
    structs: { INOTIFY_EVENT: { type: "struct inotify_event", field: "" } },
  },
  {
    name: "iouring",
    exports: iouring,
    only: /^IO/,
    includes: ["linux/io_uring.h"],
    structs: {
      IO_URING_PARAMS: { type: "struct io_uring_params", field: snakeField },
      IO_SQRING_OFFSETS: { type: "struct io_sqring_offsets", field: snakeField },
      IO_CQRING_OFFSETS: { type: "struct io_cqring_offsets", field: snakeField },
      IO_URING_SQE: { type: "struct io_uring_sqe", field: snakeField },
      IO_URING_CQE: { type: "struct io_uring_cqe", field: snakeField },
    },
  },
  {
    name: "perf",
    exports: perf,
    includes: ["linux/perf_event.h"],
    renamed: { PERF_EVENT_ATTR_SIZE: "PERF_ATTR_SIZE_VER1" },
    structs: {
      PERF_EVENT_ATTR: { type: "struct perf_event_attr", field: "" },
      PERF_MMAP_PAGE: { type: "struct perf_event_mmap_page", field: "" },
      PERF_EVENT_HEADER: { type: "struct perf_event_header", field: "" },
    },
  },
  {
    name: "seccomp",
    exports: seccomp,
    only: /^(SECCOMP|SOCK_F|AUDIT)/,
    includes: ["linux/ioctl.h", "linux/seccomp.h", "linux/filter.h", "linux/audit.h"],
    structs: {
      SECCOMP_DATA: { type: "struct seccomp_data", field: "" },
      SECCOMP_NOTIF: { type: "struct seccomp_notif", field: "" },
      SECCOMP_NOTIF_RESP: { type: "struct seccomp_notif_resp", field: "" },
      SECCOMP_NOTIF_ADDFD: { type: "struct seccomp_notif_addfd", field: "" },
      SOCK_FILTER: { type: "struct sock_filter", field: "" },
      SOCK_FPROG: { type: "struct sock_fprog", field: "" },
    },
  },
  {
    name: "BPF",
    exports: seccomp,
    only: /^BPF_/,
    includes: ["linux/filter.h"],
    renamed: {
      BPF_LD_W_ABS: "BPF_LD|BPF_W|BPF_ABS",
      BPF_JMP_JEQ_K: "BPF_JMP|BPF_JEQ|BPF_K",
      BPF_RET_K: "BPF_RET|BPF_K",
    },
  },
  { name: "umount", exports: mount, only: /^(MNT_|UMOUNT_)/, includes: ["sys/mount.h"] },
  {
    name: "clock",
    exports: clock,
    includes: ["time.h"],
    structs: { TIMESPEC: { type: "struct timespec", field: "tv_" } },
  },
  {
    name: "process",
    exports: processFamily,
    includes: ["signal.h", "sys/resource.h", "linux/prctl.h"],
    structs: {
      RLIMIT: { type: "struct rlimit64", field: "rlim_" },
      SIGACTION: { type: "struct sigaction", field: "sa_" },
    },
  },
  {
    name: "sockaddr",
    exports: sockaddr,
    includes: networkHeaders,
    structs: {
      SOCKADDR_UN: { type: "struct sockaddr_un", field: "sun_" },
      SOCKADDR_IN: {
        type: "struct sockaddr_in",
        field: (name) => `sin_${name === "address" ? "addr" : name}`,
      },
      SOCKADDR_IN6: {
        type: "struct sockaddr_in6",
        field: (name) => `sin6_${name === "address" ? "addr" : snake(name)}`,
      },
      SOCKADDR_VM: {
        type: "struct sockaddr_vm",
        field: (name) => (name === "family" ? "svm_family" : `svm_${name}`),
      },
    },
  },
  {
    name: "sockdiag",
    exports: sockdiag,
    includes: ["linux/netlink.h", "linux/unix_diag.h"],
    structs: {
      NLMSGHDR: {
        type: "struct nlmsghdr",
        field: (name) => `nlmsg_${name === "length" ? "len" : name}`,
      },
      NLATTR: {
        type: "struct nlattr",
        field: (name) => `nla_${name === "length" ? "len" : name}`,
      },
      UNIX_DIAG_REQ: {
        type: "struct unix_diag_req",
        field: (name) => (name === "family" ? "sdiag_family" : `udiag_${name}`),
      },
      UNIX_DIAG_MSG: { type: "struct unix_diag_msg", field: "udiag_" },
      VFS_OF: {
        type: "struct unix_diag_vfs",
        field: (name) => `udiag_vfs_${name === "inode" ? "ino" : "dev"}`,
      },
    },
  },
  {
    name: "sockopt",
    exports: sockopt,
    includes: networkHeaders,
    structs: {
      UCRED: { type: "struct ucred", field: "" },
      TIMEVAL: { type: "struct timeval", field: "tv_" },
      TCP_INFO_HEAD: { type: "struct tcp_info", field: "tcpi_" },
    },
  },
  {
    name: "scm",
    exports: scm,
    includes: networkHeaders,
    structs: {
      MSGHDR: { type: "struct msghdr", field: "msg_" },
      CMSGHDR: {
        type: "struct cmsghdr",
        // The data has no name; CMSG_DATA computes where it begins.
        field: (name) => (name === "data" ? "__cmsg_data" : `cmsg_${name}`),
      },
    },
  },
  { name: "message", exports: message, includes: networkHeaders },
  {
    name: "terminal",
    exports: terminal,
    includes: ["asm/termbits.h", "asm/ioctls.h", "linux/tty_flags.h", "linux/termios.h"],
    structs: {
      TERMIOS2: { type: "struct termios2", field: "" },
      WINSIZE: { type: "struct winsize", field: "" },
    },
  },
  { name: "socket", exports: socket, includes: networkHeaders },
  { name: "errno", exports: E, includes: ["errno.h"] },
  {
    name: "spawn",
    exports: spawn,
    includes: ["signal.h"],
    structs: { SIGINFO: { type: "siginfo_t", field: "si_" } },
  },
  // The last real-time signal is what the C library says while a program runs.
  { name: "signals", exports: signals, includes: ["signal.h"], only: /^SIG(?!RTMAX)/ },
  {
    name: "users",
    exports: users,
    includes: ["pwd.h", "grp.h"],
    structs: {
      PASSWD: { type: "struct passwd", field: "pw_" },
      GROUP: { type: "struct group", field: "gr_" },
    },
  },
  {
    name: "OpenSSL",
    exports: openssl,
    includes: ["openssl/ssl.h", "openssl/x509.h", "openssl/objects.h"],
    isNative: true,
  },
  { name: "cgroup", exports: cgroup, includes: ["linux/magic.h"] },
  {
    name: "limits",
    exports: {
      RLIM_NLIMITS: limits.RLIMIT_COUNT,
      ...Object.fromEntries(
        Object.entries(limits.Resource).map(([name, number]) => [`RLIMIT_${name}`, number]),
      ),
    },
    includes: ["sys/resource.h"],
  },
];

/** What we declare, by the C expression it stands for. */
function declared(family: Family): Map<string, number> {
  const found = new Map<string, number>();
  const wanted = ([name]: [string, unknown]) =>
    /^[A-Z]/.test(name) &&
    !KERNEL_INTERNAL.has(name) &&
    !PER_MACHINE.has(name) &&
    (family.only?.test(name) ?? true);
  for (const [name, value] of Object.entries(family.exports).filter(wanted)) {
    if (typeof value === "object" && value !== null) {
      const struct = family.structs?.[name];
      if (!struct) throw new Error(`The C struct of ${name} is not named`);
      addOffsets(found, struct, value as Record<string, number>);
    } else if (typeof value === "number") {
      found.set(constantExpression(family, name), value);
    }
  }
  return found;
}

function constantExpression(family: Family, name: string): string {
  const size = /^(.+)_STRUCT_SIZE$/.exec(name)?.[1];
  if (size === undefined) return family.renamed?.[name] ?? name;
  const struct = family.structs?.[size];
  if (!struct) throw new Error(`The C struct of ${name} is not named`);
  return `sizeof(${struct.type})`;
}

function addOffsets(found: Map<string, number>, struct: Struct, table: Record<string, number>) {
  for (const [name, offset] of Object.entries(table)) {
    const field = typeof struct.field === "string" ? struct.field + name : struct.field(name);
    found.set(`offsetof(${struct.type}, ${field})`, offset);
  }
}

for (const machine of machines) {
  const present = families.filter(({ isNative = false }) => !isNative || machine === ARCH);
  const declarations = present.map(declared);
  const units: Unit[] = present.map((family, i) => ({
    includes: family.includes,
    expressions: [...(declarations[i]?.keys() ?? [])],
  }));
  describe(`headers of ${machine}`, () => {
    const values = evaluate(units, machine);
    for (const [i, family] of present.entries()) {
      test(family.name, () => {
        const ours = declarations[i] ?? new Map<string, number>();
        expect(ours.size).toBeGreaterThan(0);
        const theirs = [...ours.keys()].map((key, at) => [key, values[i]?.[at]]);
        expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(theirs));
      });
    }
  });
}

test("no constant of a module that is split over two headers is left out", () => {
  for (const module of [io, mount]) {
    const patterns = families.filter((f) => f.exports === module).map((f) => f.only);
    const names = Object.entries(module)
      .filter(([name, value]) => /^[A-Z]/.test(name) && typeof value !== "function")
      .map(([name]) => name);
    expect(names.filter((name) => !patterns.some((pattern) => pattern?.test(name)))).toEqual([]);
  }
});

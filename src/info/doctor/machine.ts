/** Whether this machine has what qtfs needs: kernel, FUSE, libraries, privileges, limits. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { loadLibfuse } from "../../fuse/libfuse.ts";
import { lib as loadLibssl } from "../../sys/openssl/library.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";

/** Linux 5.15 speaks FUSE 7.34 (client/init.ts). */
const KERNEL_OLDEST = [5, 15] as const;
/** A server has a descriptor for each inode that its clients know. */
const FILES_MIN = 65_536;
/** The pipe that large answers are spliced through (client/bulk.ts). */
const PIPE_BYTES_MIN = 1024 * 1024;
/** Inodes that a server watches for its clients' caches, one user's. */
const WATCHES_MIN = 65_536;

/** What is asked of the machine; tests answer for another one. */
export interface Machine {
  uid: number;
  /** Release of the kernel. */
  kernel: string;
  /** The text of a file of /proc; undefined where it cannot be read. */
  file(path: string): string | undefined;
  /** Opens a device for reading and writing; throws why it cannot. */
  open(path: string): void;
  /** Each throws a sentence where the library cannot be loaded. */
  loadLibfuse(): void;
  loadLibssl(): void;
}

/** The one that this process runs on. */
export function thisMachine(): Machine {
  return {
    uid: process.geteuid?.() ?? 0,
    kernel: release(),
    file: (path) => {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    open: (path) => closeSync(openSync(path, "r+")),
    loadLibfuse,
    loadLibssl,
  };
}

/** All findings about the machine. */
export function examineMachine(machine: Machine): Finding[] {
  return [
    privileges(machine),
    kernel(machine),
    fuse(machine),
    library("libfuse3", machine.loadLibfuse, failure),
    library("libssl3", machine.loadLibssl, warning),
    openFiles(machine),
    pipes(machine),
    watches(machine),
    notifications(machine),
  ];
}

function privileges({ uid }: Machine): Finding {
  if (uid === 0) return ok("user", "root");
  const says = `User ${uid} may neither serve files as their callers nor ask the daemons.`;
  return warning("user", says, "Run it as root.");
}

function kernel({ kernel: text }: Machine): Finding {
  const [major = 0, minor = 0] = text.split(".").map(Number.parseFloat);
  const [oldestMajor, oldestMinor] = KERNEL_OLDEST;
  const isNew = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
  if (isNew) return ok("kernel", `Linux ${text}`);
  const needed = KERNEL_OLDEST.join(".");
  return failure("kernel", `Linux ${text} is too old to mount.`, `Linux ${needed} is needed.`);
}

function fuse(machine: Machine): Finding {
  const subject = "/dev/fuse";
  try {
    machine.open(subject);
    return ok(subject, "can be opened");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const advice =
      code === "ENOENT" || code === "ENXIO" || code === "ENODEV"
        ? "modprobe fuse"
        : "Run it as root.";
    return failure(subject, `Nothing can be mounted here: it cannot be opened (${code}).`, advice);
  }
}

/** `otherwise` makes the finding: without libssl only TLS is missing. */
function library(name: string, load: () => void, otherwise: typeof warning): Finding {
  try {
    load();
    return ok(name, "is installed");
  } catch (error) {
    const [says = "", advice = ""] = (error as Error).message.split(": ");
    return otherwise(name, `${says}.`, `${advice.replace("install", "Install")}.`);
  }
}

function openFiles(machine: Machine): Finding {
  const subject = "open files";
  const limits = machine.file("/proc/self/limits") ?? "";
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? "0";
  if (hard === "unlimited" || Number(hard) >= FILES_MIN) return ok(subject, `up to ${hard}`);
  const says = `A process may have ${hard}, a server wants one for each file that clients know.`;
  return warning(subject, says, `ulimit -Hn ${FILES_MIN}, or LimitNOFILE= of its service.`);
}

function pipes(machine: Machine): Finding {
  return atLeast(machine, "fs.pipe-max-size", PIPE_BYTES_MIN, "Large reads are copied twice.");
}

function watches(machine: Machine): Finding {
  const less = "Fewer inodes are watched, so others are asked for again and again.";
  return atLeast(machine, "fs.inotify.max_user_watches", WATCHES_MIN, less);
}

/** A sysctl that should be `least`; `less` says what happens below. */
function atLeast(machine: Machine, name: string, least: number, less: string): Finding {
  const text = machine.file(`/proc/sys/${name.replaceAll(".", "/")}`)?.trim();
  if (text === undefined) return warning(name, "It cannot be read.", "Mount /proc.");
  if (Number(text) >= least) return ok(name, text);
  return warning(name, `It is ${text}. ${less}`, `sysctl -w ${name}=${least}`);
}

function notifications(machine: Machine): Finding {
  const subject = "seccomp";
  const actions = machine.file("/proc/sys/kernel/seccomp/actions_avail") ?? "";
  if (actions.split(/\s+/).includes("user_notif")) return ok(subject, "tells a supervisor");
  const says = "The kernel has no user notification, so qtfs supervise and offload cannot work.";
  return warning(subject, says, "A kernel with CONFIG_SECCOMP_FILTER is needed for these.");
}

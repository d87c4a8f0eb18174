/**
 * What a caller binds whose MKNOD of a socket waits for us: it is within bind(2), whose
 * arguments its system call shows (proc(5): /proc/<tid>/syscall), and within mknod(2) there
 * is no socket. To read that takes the lock that execve(2) has at its end: see
 * proc/stack.ts for why it is free then.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { PIDFD_THREAD, pidfdGetfd, pidfdOpen } from "../../sys/process.ts";
import { socketType } from "../../sys/sockopt.ts";
import { processOf } from "../proc/threads.ts";
import { callText } from "./fifo/opencall.ts";

/** SOCK_* of the socket that thread `tid` binds; 0 if it binds none, or nobody may know. */
export function boundType(tid: number): number {
  const fd = boundDescriptor(tid);
  if (fd < 0) return 0;
  const process = openThread(tid);
  if (process < 0) return 0;
  const copy = pidfdGetfd(process, fd);
  close(process);
  if (copy < 0) return 0;
  const type = socketType(copy);
  close(copy);
  return Math.max(type, 0);
}

/** The first argument of bind(2), or -1. */
function boundDescriptor(tid: number): number {
  const [call, first] = callText(tid).split(" ");
  if (Number(call) !== SYS.bind || first === undefined) return -1;
  return Number(BigInt(first) & 0x7fff_ffffn);
}

/** A descriptor of the thread or, before Linux 6.9, of its process. */
function openThread(tid: number): number {
  const thread = pidfdOpen(tid, PIDFD_THREAD);
  return thread === -E.EINVAL ? pidfdOpen(processOf(tid)) : thread;
}

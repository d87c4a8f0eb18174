/** A umask of the thread's own: each request is served with its caller's. */
import { SYS } from "../sys/arch.ts";
import { umask } from "../sys/process.ts";
import { rawSyscall } from "../sys/rawsyscall.ts";

/** sched.h: the thread no longer shares root, working directory and umask. */
const CLONE_FS = 0x200;

/** To be called once at the start of a thread that makes files for clients. */
export function enterOwnUmask(): void {
  const result = rawSyscall(SYS.unshare, CLONE_FS);
  if (result < 0) throw new Error(`Cannot unshare the umask of a server thread: errno ${-result}`);
  umask(0);
}

/** Network namespaces (network_namespaces(7)). */
import { SYS } from "./arch.ts";
import { cstring } from "./cstring.ts";
import { moveMount, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE, openTree } from "./fsmount.ts";
import { ioctl } from "./ioctl.ts";
import { close, O_CLOEXEC, O_RDONLY, openat } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

/** sched.h of the kernel */
const CLONE_NEWNET = 0x4000_0000;
/** ioctl_ns(2): which CLONE_NEW* flag makes such a namespace. */
const NS_GET_NSTYPE = 0xb703;
const OWN = "thread-self/ns/net";

/**
 * Makes a network namespace, with nothing in it but an unconfigured loopback, and mounts it
 * (nsfs) on what `at` is open on. It lives as long as it is mounted. The calling thread is
 * in it for a moment, and comes back. `procfs`: a descriptor of /proc's root. 0 or -errno.
 */
export function bindNewNetns(procfs: number, at: number): number {
  const own = openat(procfs, cstring(OWN), O_RDONLY | O_CLOEXEC, 0);
  if (own < 0) return own;
  const made = rawSyscall(SYS.unshare, CLONE_NEWNET);
  const tree =
    made < 0 ? made : openTree(procfs, cstring(OWN), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (made === 0) {
    const back = rawSyscall(SYS.setns, own, CLONE_NEWNET);
    // What this thread did from now on would be done in the wrong network.
    if (back < 0) throw new Error(`Cannot leave a network namespace: errno ${-back}`);
  }
  close(own);
  if (tree < 0) return tree;
  const result = moveMount(tree, at, cstring(""));
  close(tree);
  return result;
}

/** Whether the file of a namespace that `fd` is open on is a network's. */
export function isNetns(fd: number): boolean {
  return ioctl(fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET;
}

/**
 * What a caller that waits is about, from its stack in the kernel (/proc/<tid>/stack): the
 * only place that tells whether a link is what readlink(2) asks for, or lies on the way there.
 * To read it takes the lock that execve(2) has at its end (exec_update_lock); a thread that
 * waits for an answer is not there yet, nor can another of its process be.
 */
import { readFileSync } from "node:fs";

/** fs/namei.c: in the midst of a walk; fs/stat.c: at the end of one. */
const WALKS = /\b(?:link_path_walk|path_lookupat|path_openat)\b/;
const READS = /\b(?:vfs_readlink|do_readlinkat)\b/;
/** A thread that has not gone to sleep yet shows no stack. */
const ATTEMPTS = 50;

/**
 * Whether the thread `tid`, which waits for a READLINK, wants the link's text; otherwise it
 * follows the link. So it is taken to where its stack cannot be had (CONFIG_STACKTRACE, and
 * CAP_SYS_ADMIN): a wrong text does less harm than a wrong file.
 */
export function isReadingLink(tid: number): boolean {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const stack = stackOf(tid);
    if (stack === undefined) return false;
    if (stack !== "") return READS.test(stack) && !WALKS.test(stack);
  }
  return false;
}

function stackOf(tid: number): string | undefined {
  try {
    return readFileSync(`/proc/${tid}/stack`, "latin1");
  } catch {
    return undefined;
  }
}

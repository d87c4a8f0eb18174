/**
 * Numbers of the nodes that a mount makes itself (-o proc). A number says all there is
 * to know of its node, so that a process that takes the mount over serves those of the
 * one that died. The lower half is beyond every row of the server's table (NODES_MAX).
 */
import { NODE_POLICY_SHIFT, Policy, ROOT_NODE } from "../../wire/constants.ts";

/** The lower half of such a number, at least. */
export const VIEW_LOW = 0x8000_0000;
/** The upper half of all of them. */
export const VIEW_HIGH = Policy.LIVE << NODE_POLICY_SHIFT;

export const SELF_LOW = VIEW_LOW;
export const THREAD_SELF_LOW = VIEW_LOW + 1;
/** And above: this and the process's number. */
const PROCESS_LOW = VIEW_LOW + 0x100;
/** Process numbers are below this (linux/threads.h: PID_MAX_LIMIT on 64-bit machines). */
export const PID_LIMIT = 4 * 1024 * 1024;

/** Lower half of the node that stands for process `pid`. */
export function processLow(pid: number): number {
  return PROCESS_LOW + pid;
}

/** The process that a node of the view stands for, or 0. */
export function pidOf(low: number): number {
  const pid = low - PROCESS_LOW;
  return pid > 0 && pid < PID_LIMIT ? pid : 0;
}

/** Whether a node is the root of what is mounted. */
export function isRoot(high: number, low: number): boolean {
  return high === 0 && low === ROOT_NODE;
}

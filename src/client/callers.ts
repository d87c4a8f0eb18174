/**
 * Callers that must not wait any longer. The kernel tells of a signal once
 * (INTERRUPT), not whether it is deadly, and not at all of one that comes later
 * or of a caller that exits: so the callers of requests that take long are
 * looked at in procfs, and the dying ones are answered at once.
 */
import { readFileSync } from "node:fs";
import { Opcode } from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import { Kind } from "../wire/frame.ts";
import type { Client } from "./client.ts";
import { State } from "./pending.ts";

/** A deadly signal is pending as SIGKILL for every thread (kernel/signal.c: complete_signal). */
const SIGKILL_BIT = 1n << 8n;
/** The caller of a request younger than this is not looked at. */
export const PATIENCE_NS = 200e6;

/** Whether the thread `tid` is being killed, or is gone. */
export function isDying(tid: number): boolean {
  if (tid === 0) return false;
  let status: string;
  try {
    status = readFileSync(`/proc/${tid}/status`, "latin1");
  } catch {
    return true;
  }
  for (const match of status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)) {
    if ((BigInt(`0x${match[1]}`) & SIGKILL_BIT) !== 0n) return true;
  }
  return /^State:\s*[ZX]/m.test(status) || isExiting(status);
}

/**
 * Whether `status` is of a thread that exits and is closing its files, which it
 * has no table of any more (exit_files in do_exit). The flag that it exits is in
 * /proc/<tid>/stat: but to read that waits for a thread within execve(2), and
 * one that closes files of ours there waits for us.
 */
function isExiting(status: string): boolean {
  return /^FDSize:\s*0$/m.test(status);
}

/** Answers the request of `slot` with EINTR; what the server still answers is cleaned up. */
function abandon(c: Client, slot: number): void {
  // In this order: an answer that a dying process of ours does not give is asked for again.
  c.pending.state[slot] = State.ABANDONED;
  c.answerErrno(slot, E.EINTR);
  cancel(c, slot);
}

/** Asks the server to answer the request of `slot` at once, now or after a cut. */
export function cancel(c: Client, slot: number): void {
  c.pending.cancelled[slot] = 1;
  if (c.holds || c.transport.congested) return;
  const w = c.transport.begin(Kind.CANCEL);
  w.array(2);
  w.uint(slot);
  w.uint(c.pending.sequence[slot] as number);
  c.transport.end();
}

/** Whether any signal ends the call, not just a deadly one. */
export function isWait(opcode: number): boolean {
  return opcode === Opcode.SETLKW;
}

/** The kernel says that the caller of the request in `slot` has a signal. */
export function interrupt(c: Client, slot: number): void {
  if (isDying(c.pending.pid[slot] as number)) abandon(c, slot);
  else if (isWait(c.pending.opcode[slot] as number)) cancel(c, slot);
}

/** Answers every caller that is dying and has waited for a while. */
export function releaseTheDying(c: Client): void {
  const before = Bun.nanoseconds() - PATIENCE_NS;
  c.pending.forEachAsked((slot) => {
    if ((c.pending.startedNs[slot] as number) < before && isDying(c.pending.pid[slot] as number)) {
      abandon(c, slot);
    }
  });
}

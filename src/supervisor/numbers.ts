/**
 * Whose a process number is that a supervised program uses. Processes of the DPU and of the
 * HOST are numbered apart, so that both may have one of a number. What a program means by it
 * is a process that it knows from here, or else one that it has heard of from there.
 */
import type { Procfs } from "./spaces.ts";

const ANCESTORS_MAX = 64;

/** Whether `pid` is the process `of` or one that has started it, or those. */
export function isAncestor(procfs: Procfs, pid: number, of: number): boolean {
  let at = of;
  for (let i = 0; i < ANCESTORS_MAX && at > 0; i++) {
    if (at === pid) return true;
    at = Number(/^PPid:\s*(\d+)$/m.exec(procfs.read(`${at}/status`) ?? "")?.[1] ?? 0);
  }
  return false;
}

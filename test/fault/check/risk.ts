/** Whether faults hit anything. */
import type { Step } from "../workload/record.ts";
import { at } from "./outcome.ts";

/** A fault that was done, from its beginning to where all was as before. */
export interface Strike {
  text: string;
  fromMs: number;
  toMs: number;
  /** Requests on their way at the beginning, where the proxy could count them. */
  outstanding?: number;
}

export interface Risk extends Strike {
  /** Operations that were under way at its beginning. */
  underWay: number;
  /** Of all that were under way at any time of it, how long the longest took. */
  longestMs: number;
}

/** What each fault hit. */
export function risks(strikes: Strike[], steps: Step[][]): Risk[] {
  const all = steps.flat().map(({ atMs, outcome }) => [atMs, outcome?.atMs ?? Infinity] as const);
  return strikes.map((strike) => {
    const hit = all.filter(([from, to]) => from <= strike.toMs && to >= strike.fromMs);
    const underWay = hit.filter(([from]) => from <= strike.fromMs).length;
    const longestMs = Math.max(0, ...hit.map(([from, to]) => to - from));
    return { ...strike, underWay, longestMs };
  });
}

/** One line for people. */
export function describeRisk({
  text,
  fromMs,
  toMs,
  underWay,
  outstanding,
  longestMs,
}: Risk): string {
  const requests = outstanding === undefined ? "" : `, ${outstanding} requests`;
  const times = `${Math.round(toMs - fromMs)} ms, longest call ${Math.round(longestMs)} ms`;
  return `${at(fromMs)} ${text}: ${underWay} operations${requests} under way; ${times}`;
}

/** Whether anything was at risk: without that, nothing has been shown. */
export function wasAnythingAtRisk(all: Risk[]): boolean {
  return all.some(({ underWay }) => underWay > 0);
}

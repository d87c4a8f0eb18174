/** What a case is. */
import type { Context } from "./context.ts";

/** What a mount must allow for a case to mean anything: `nosuid` and `nodev` take it away. */
export type Need = "suid" | "dev";

export type Run = (context: Context) => void | Promise<void>;

export interface Case {
  /** "area/what-it-shows" */
  readonly name: string;
  readonly run: Run;
  readonly needs?: Need;
  /** When the case counts as stuck; its worker is killed then. */
  readonly boundMs: number;
}

interface Special {
  run: Run;
  needs?: Need;
  boundMs?: number;
}

const DEFAULT_BOUND_MS = 20_000;

/** The cases of one area, by their short names. */
export function area(name: string, cases: Record<string, Run | Special>): Case[] {
  return Object.entries(cases).map(([short, value]) => {
    const special = typeof value === "function" ? { run: value } : value;
    return { boundMs: DEFAULT_BOUND_MS, ...special, name: `${name}/${short}` };
  });
}

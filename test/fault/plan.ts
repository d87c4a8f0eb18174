/** What happens in a round, from its seed. */
import { type Random, random } from "../support/random.ts";
import type { Down, ProxyFault, Toward } from "./proxy/faults.ts";

export const KINDS = ["cuts", "server-kills", "server-stops", "mount-kills", "upgrades"] as const;
export type Kind = (typeof KINDS)[number];

export type Fault =
  | { kind: "cuts"; fault: ProxyFault }
  /** SIGKILL, and the same command again after a while. */
  | { kind: "server-kills"; downMs: number }
  /** SIGSTOP, and SIGCONT after a while. */
  | { kind: "server-stops"; forMs: number }
  /** SIGKILL to the process that serves the mount. */
  | { kind: "mount-kills" }
  /** `qtfs mount --takeover`. */
  | { kind: "upgrades" };

export interface Scheduled {
  /** What passes before it, from the beginning or the end of the fault before. */
  afterMs: number;
  /** The next one does not wait for its end. */
  overlaps: boolean;
  fault: Fault;
}

export interface Plan {
  transport: "unix" | "tcp";
  cache: "auto" | "never" | "always";
  faults: Scheduled[];
}

const FAULTS_MIN = 4;
const FAULTS_MORE = 3;
const LONGEST_MS = 700;

/** A seed of its own for each part of a round. */
export function seedOf(seed: number, part: number): number {
  return Math.imul(Math.imul(seed, 64) + part + 1, 0x9e37_79b1) >>> 0;
}

/** The plan of a seed: every kind that is asked for happens, more of them in turn. */
export function planOf(seed: number, kinds: readonly Kind[]): Plan {
  const chance = random(seedOf(seed, 0));
  const count = Math.max(kinds.length, FAULTS_MIN + chance.below(FAULTS_MORE));
  const offset = chance.below(kinds.length);
  const faults = Array.from({ length: count }, (_, index) => ({
    afterMs: 30 + chance.below(250),
    overlaps: chance.chance(0.2),
    fault: faultOf(kinds[(offset + index) % kinds.length] as Kind, chance),
  }));
  return {
    transport: chance.pick(["unix", "tcp"] as const),
    cache: chance.pick(["auto", "auto", "auto", "never"] as const),
    faults,
  };
}

/** One fault of a kind. */
export function faultOf(kind: Kind, chance: Random): Fault {
  const someMs = chance.chance(0.3) ? 0 : chance.below(LONGEST_MS);
  if (kind === "server-kills") return { kind, downMs: someMs };
  if (kind === "server-stops") return { kind, forMs: someMs };
  if (kind === "cuts") return { kind, fault: proxyFault(chance, someMs) };
  return { kind };
}

const NAMES: readonly ProxyFault["fault"][] = [
  ...(["cut", "cut", "cut", "truncate", "truncate", "corrupt", "corrupt"] as const),
  ...(["stall", "stall", "duplicate", "delay", "trickle"] as const),
];

function proxyFault(chance: Random, someMs: number): ProxyFault {
  const fault = chance.pick(NAMES);
  const toward: Toward = chance.pick(["server", "client"]);
  const forMs = 50 + someMs;
  const how = chance.pick(["reset", "end"] as const);
  const down: Down = chance.pick(["refuse", "drop", "silence"]);
  switch (fault) {
    case "cut":
      return { fault, how, downMs: someMs, down };
    case "truncate":
      return { fault, toward, how, downMs: someMs, down };
    case "corrupt":
      return { fault, toward, what: chance.pick(["kind", "header", "payload"]) };
    case "stall": {
      const after = chance.pick(["go on", "cut"] as const);
      return { fault, toward: chance.pick([toward, "both"]), forMs, after };
    }
    case "duplicate":
      return { fault, forMs };
    case "delay":
      return { fault, delayMs: 1 + chance.below(50), forMs };
    case "trickle":
      return { fault, bytesPerMs: 20 + chance.below(500), forMs };
  }
}

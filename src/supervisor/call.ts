/** One call that is looked at, and what its group of calls needs to decide. */
import type { HostCalls } from "../client/hostcalls.ts";
import type { Share } from "../onhost/places.ts";
import type { Notification } from "../sys/seccomp.ts";
import type { Caller } from "./caller.ts";
import type { Sessions } from "./sessions.ts";
import type { Shares } from "./shares.ts";
import type { Procfs } from "./spaces.ts";
import type { Target } from "./standin.ts";

/** The kernel carries the call out itself. */
export const GO_ON = undefined;

/** Answered already, in one step with a descriptor that the caller has got. */
export const ANSWERED = Symbol("answered");

/** A result, -errno, GO_ON, or ANSWERED. */
export type Verdict = number | typeof GO_ON | typeof ANSWERED;

export interface Call {
  readonly args: Notification;
  readonly caller: Caller;
  readonly procfs: Procfs;
  readonly shares: Shares;
  readonly sessions: Sessions;
  /** Patterns of abstract names that are the HOST's too (names.ts); a byte a character. */
  readonly names: readonly string[];
  /** Number of a process here that stands for one of the HOST's (StandIns.of), or FULL. */
  standIn(target: Target): Promise<number>;
  /** Says something in the supervisor's log. */
  log(level: "debug" | "info" | "warn", text: string): void;
}

/** Decides on a call. What it throws is a sentence; the caller gets EIO then. */
export type Decide = (call: Call) => Promise<Verdict>;

/** Asks a share's server: -errno, or 0. */
export function onHost(call: Call, share: Share, request: (calls: HostCalls) => number): number {
  const errno = call.sessions.ask(share, request);
  return errno === 0 ? 0 : -errno;
}

/** One call that is looked at, and what its group of calls needs to decide. */
import type { HostCalls } from "../client/hostcalls.ts";
import type { Share } from "../onhost/places.ts";
import type { Notification } from "../sys/seccomp.ts";
import type { Caller } from "./caller.ts";
import type { Sessions } from "./sessions.ts";
import type { Shares } from "./shares.ts";
import type { Procfs } from "./spaces.ts";

/** The kernel carries the call out itself. */
export const GO_ON = undefined;

/** A result, -errno, or GO_ON. */
export type Verdict = number | typeof GO_ON;

export interface Call {
  readonly args: Notification;
  readonly caller: Caller;
  readonly procfs: Procfs;
  readonly shares: Shares;
  readonly sessions: Sessions;
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

/** What `qtfs info doctor` finds, one thing at a time. */

/** `warning`: works, but less well or not for long. `failure`: does not work. */
export type Level = "ok" | "warning" | "failure";

export interface Finding {
  level: Level;
  /** What was looked at: `/dev/fuse`, `mount /mnt`. */
  subject: string;
  /** How it is, in one sentence. */
  says: string;
  /** What to do about it; absent where nothing is to be done. */
  advice?: string;
}

export function ok(subject: string, says: string): Finding {
  return { level: "ok", subject, says };
}

export function warning(subject: string, says: string, advice: string): Finding {
  return { level: "warning", subject, says, advice };
}

export function failure(subject: string, says: string, advice: string): Finding {
  return { level: "failure", subject, says, advice };
}

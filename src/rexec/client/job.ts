/** The job that this process is part of, as shells and the kernel see it. */
import { readFileSync } from "node:fs";

interface Membership {
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

/**
 * Whether the process group of `pid` is orphaned, as the kernel has it: no member has a parent
 * that is in the same session and another group. Only ancestors are looked at, who are all that
 * a job's shell has started.
 */
export function isOrphaned(pid: number): boolean {
  try {
    for (let at = membership(pid); at.parent > 0; ) {
      const parent = membership(at.parent);
      if (parent.session !== at.session) return true;
      if (parent.group !== at.group) return false;
      at = parent;
    }
  } catch {
    // A parent that nobody may see is none of our session.
  }
  return true;
}

/** Of proc_pid_stat(5): behind the name, which may be anything, state, parent, group, session. */
function membership(pid: number): Membership {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [, parent = 0, group = 0, session = 0] = fields.map(Number);
  return { parent, group, session };
}

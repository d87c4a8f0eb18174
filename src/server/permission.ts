/** Whether a session may use operations of a class that its export has to allow (classes.ts). */
import { geteuid } from "../sys/identity.ts";
import type { OperationClass } from "./classes.ts";
import { NO_UID, type Session } from "./session.ts";

/** Only root may, as far as clients' users are known here: what these classes reach is beyond files' modes. */
export function isAllowed({ attached, client: { uid } }: Session, name: OperationClass): boolean {
  const isRoot = uid === 0 || uid === NO_UID || uid === geteuid();
  return attached.allow.includes(name) && isRoot;
}

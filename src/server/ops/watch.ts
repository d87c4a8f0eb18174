/** WATCH: what programs on the client watch. */
import { E } from "../../sys/errno.ts";
import type { Session } from "../session.ts";

/** `[node, on (1) or off (0)]` → nothing: HAPPENED events of the node follow, or no more */
export function watchOp(session: Session): number {
  const row = session.node();
  const on = session.reader.uint() !== 0;
  session.reader.finish();
  if (row < 0) return E.ESTALE;
  const { hearing } = session.attached;
  const errno = on ? hearing.watch(row) : 0;
  if (!on) hearing.unwatch(row);
  if (errno !== 0) {
    session.counters.count("WATCHES_REFUSED");
    return errno;
  }
  session.reply(0);
  session.send();
  return 0;
}

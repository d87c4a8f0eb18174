/** What is mounted on the HOST beneath a session's root, for clients that show each mount as one. */
import { E } from "../../sys/errno.ts";
import type { Session } from "../session.ts";

/** `[start]` → generation, next; payload: the mounts from `start` on, as many as fit */
export function mounts(session: Session): number {
  session.reader.uint32();
  session.reader.finish();
  const w = session.reply(2);
  w.uint(0);
  w.uint(0);
  session.send();
  return 0;
}

/** `[mount]` → entry of its root */
export function mountRoot(session: Session): number {
  session.reader.uint32();
  session.reader.finish();
  return E.ENOENT;
}

/** `[mount]` → nothing: the client has no use for it any more */
export function mountEnd(session: Session): number {
  session.reader.uint32();
  session.reader.finish();
  session.reply(0);
  session.send();
  return 0;
}

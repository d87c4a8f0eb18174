/** Writes that are answered once they have reached the disk. */
import { SYS } from "../../sys/arch.ts";
import { LATER, type Session } from "../session.ts";

/** Answers with `wrote` once the data is on the disk. */
export function syncThenReply(
  session: Session,
  handle: number,
  dataOnly: boolean,
  wrote: number,
): number {
  const fd = session.attached.handles.fd[handle] as number;
  session.services.calls.start(session, dataOnly ? SYS.fdatasync : SYS.fsync, [fd], {
    handle,
    done: (result) => {
      if (result < 0) {
        session.fail(-result);
        return;
      }
      session.reply(1).uint(wrote);
      session.send();
    },
  });
  return LATER;
}

/** poll. */
import { E } from "../../sys/errno.ts";
import { POLLERR, POLLHUP, POLLNVAL } from "../../sys/poll.ts";
import type { Session } from "../session.ts";

/** Poll events that may be asked for (asm-generic/poll.h, the same on both architectures). */
const POLL_MASK = 0xffff;
const ALWAYS = POLLERR | POLLHUP | POLLNVAL;

/**
 * `[handle, events, wakeup or 0]` → events that are ready now. Where none is
 * and `wakeup` is not 0, an event POLL_READY with that number follows once one is.
 */
export function poll(session: Session): number {
  const handle = session.handle();
  const events = session.reader.uint32() & POLL_MASK;
  session.reader.uint64();
  const { high, low } = session.reader;
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  const fd = session.attached.handles.fd[handle] as number;
  if (fd < 0) return -fd;
  const { polls } = session.services;
  const ready = polls.now(fd, events | ALWAYS);
  if (ready < 0) return -ready;
  if (
    ready === 0 &&
    (high !== 0 || low !== 0) &&
    !polls.watch(session, handle, fd, events, high, low)
  ) {
    return E.EAGAIN;
  }
  session.reply(1).uint(ready);
  session.send();
  return 0;
}

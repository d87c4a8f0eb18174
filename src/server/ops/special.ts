/** poll. */
import { E } from "../../sys/errno.ts";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI } from "../../sys/poll.ts";
import type { Session } from "../session.ts";

/** Poll events that may be asked for (asm-generic/poll.h, the same on both architectures). */
const POLL_MASK = 0xffff;
const ALWAYS = POLLERR | POLLHUP | POLLNVAL;
/** Those that come and go. */
const CHANGING = POLLIN | POLLPRI | POLLOUT;

/**
 * `[handle, events, wakeup or 0]` → events that are ready now. If `wakeup` is not 0, an
 * event POLL_READY with that number follows once another one is: whoever waits for the
 * edges of one event asks for others along with it.
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
  const now = polls.now(fd, events | ALWAYS);
  if (now < 0) return -now;
  const ready = now | polls.take(session, handle, events | ALWAYS);
  if (high !== 0 || low !== 0) {
    if (ready === 0) {
      if (!polls.watch(session, handle, events, 0, high, low)) return E.EAGAIN;
    } else if ((events & CHANGING & (~ready | POLLPRI)) !== 0) {
      // What the file still tells of though it was just asked, it tells of until it is read.
      const told = now & polls.now(fd, events | ALWAYS);
      polls.watch(session, handle, events & CHANGING & (~ready | POLLPRI), told, high, low);
    }
  }
  session.reply(1).uint(ready);
  session.send();
  return 0;
}

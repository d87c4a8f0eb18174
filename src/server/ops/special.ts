/** poll and ioctl. */
import { E } from "../../sys/errno.ts";
import { ioctlAt } from "../../sys/ioctl.ts";
import type { Bytes } from "../../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI } from "../../sys/poll.ts";
import { FileType } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import type { Session } from "../session.ts";
import { mode } from "../status.ts";

/** Poll events that may be asked for (asm-generic/poll.h, the same on both architectures). */
const POLL_MASK = 0xffff;
const ALWAYS = POLLERR | POLLHUP | POLLNVAL;
/** Those that come and go. */
const CHANGING = POLLIN | POLLPRI | POLLOUT;

/**
 * ioctl(2) commands that are carried: those of linux/fs.h that FUSE can carry
 * (size and direction in the number) and that concern a file alone.
 */
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_GETVERSION = 0x80087601;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const CARRIED: ReadonlySet<number> = new Set([
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  FS_IOC_GETVERSION,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
]);
const CHANGES: ReadonlySet<number> = new Set([FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR]);
/** Bytes of argument in a command's number (asm-generic/ioctl.h). */
const SIZE_SHIFT = 16;
const SIZE_MASK = 0x3fff;

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

/**
 * `[node, handle or 0, command, size]`, payload: the argument → result; payload:
 * the argument after. Without a handle the node is opened: a directory, say.
 */
export function ioctl(session: Session): number {
  const node = session.node();
  const handle = session.handle();
  const command = session.reader.uint32();
  const size = session.reader.uint32();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  if (handle < 0) return E.EBADF;
  if (!CARRIED.has(command)) return E.ENOTTY;
  if (size > ((command >>> SIZE_SHIFT) & SIZE_MASK)) throw new ProtocolError("ioctl size is wrong");
  if (CHANGES.has(command) && session.attached.readOnly) return E.EROFS;
  const { handles, reach } = session.attached;
  if (handle > 0) {
    const opened = handles.fd[handle] as number;
    return opened < 0 ? -opened : run(session, opened, command, size);
  }
  const found = reach.stat(node);
  if (found < 0) return -found;
  // Opening a device may do who knows what.
  const type = mode() & FileType.MASK;
  if (type !== FileType.REGULAR && type !== FileType.DIRECTORY) return E.ENOTTY;
  const fd = reach.open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -fd;
  const result = run(session, fd, command, size);
  close(fd);
  return result;
}

function run(session: Session, fd: number, command: number, size: number): number {
  const { transport } = session;
  const { payloadStart, payloadLength } = transport;
  const answer = (result: number, argument: Bytes) => {
    session.reply(1).uint(result);
    session.keepReply();
    transport.endCopy(argument, size);
  };
  return ioctlAt(fd, command, transport.reader.bytes, payloadStart, payloadLength, answer);
}

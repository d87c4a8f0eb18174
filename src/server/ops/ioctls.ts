/**
 * ioctl(2), of which a table says what is carried. FUSE carries a command whose number
 * tells its argument's size and direction (asm-generic/ioctl.h), and an argument without
 * pointers means the same on both machines.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { ioctlAt } from "../../sys/ioctl.ts";
import { allocate, type Bytes, free } from "../../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { FileType, Ioctl } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { HandleFlag } from "../handles.ts";
import { LATER, type Session } from "../session.ts";
import { mode } from "../status.ts";

/** Bytes of argument in a command's number. */
const SIZE_SHIFT = 16;
const SIZE_MASK = 0x3fff;

interface Carried {
  /** What it is about: a file or directory, or an open device where the export allows ioctl. */
  on: "file" | "device";
  /** Whether a read-only export refuses it. */
  changes?: boolean;
}

/**
 * The client's kernel has checked who may set flags of a file (vfs_fileattr_set). Nothing
 * that asks for a capability of its own is carried: here it would be the server's.
 */
const CARRIED: ReadonlyMap<number, Carried> = new Map<number, Carried>([
  [Ioctl.FS_GETFLAGS, { on: "file" }],
  [Ioctl.FS_SETFLAGS, { on: "file", changes: true }],
  [Ioctl.FS_GETVERSION, { on: "file" }],
  [Ioctl.FS_FSGETXATTR, { on: "file" }],
  [Ioctl.FS_FSSETXATTR, { on: "file", changes: true }],
  [Ioctl.FS_GETFSLABEL, { on: "file" }],
  [Ioctl.FS_GETFSUUID, { on: "file" }],
  [Ioctl.BLOCK_GETSIZE64, { on: "device" }],
  [Ioctl.BLOCK_GETDISKSEQ, { on: "device" }],
  [Ioctl.RANDOM_GETENTCNT, { on: "device" }],
  [Ioctl.TTY_TCGETS2, { on: "device" }],
  [Ioctl.TTY_TCSETS2, { on: "device", changes: true }],
  [Ioctl.TTY_TCSETSW2, { on: "device", changes: true }],
  [Ioctl.TTY_TCSETSF2, { on: "device", changes: true }],
  [Ioctl.PTY_GETNUMBER, { on: "device" }],
  [Ioctl.PTY_SETLOCK, { on: "device", changes: true }],
  [Ioctl.PTY_GETLOCK, { on: "device" }],
  [Ioctl.PTY_GETPACKET, { on: "device" }],
]);

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
  const carried = CARRIED.get(command);
  if (carried === undefined) return E.ENOTTY;
  if (size > ((command >>> SIZE_SHIFT) & SIZE_MASK)) throw new ProtocolError("ioctl size is wrong");
  const { allow, handles, readOnly } = session.attached;
  if (carried.changes && readOnly) return E.EROFS;
  const fd = handle > 0 ? (handles.fd[handle] as number) : 0;
  if (fd < 0) return -fd;
  const isDevice = ((handles.flags[handle] as number) & HandleFlag.DEVICE) !== 0;
  if (isDevice !== (carried.on === "device")) return E.ENOTTY;
  if (!isDevice)
    return handle > 0 ? run(session, fd, command, size) : openAndRun(session, node, command, size);
  return allow.includes("ioctl") ? runOnDevice(session, handle, command, size) : E.ENOTTY;
}

function openAndRun(session: Session, node: number, command: number, size: number): number {
  const { reach } = session.attached;
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
  const done = (result: number, argument: Bytes) => reply(session, result, argument, size);
  return ioctlAt(fd, command, transport.reader.bytes, payloadStart, payloadLength, done);
}

/** In a thread: a driver may let it wait, as a terminal does until its output has left. */
function runOnDevice(session: Session, handle: number, command: number, size: number): number {
  const { handles } = session.attached;
  const { payloadStart, payloadLength, reader } = session.transport;
  if (payloadLength > size) throw new ProtocolError("ioctl argument is too long");
  const memory = allocate(SIZE_MASK + 1);
  memory.bytes.set(reader.bytes.subarray(payloadStart, payloadStart + payloadLength));
  const fd = handles.fd[handle] as number;
  session.services.calls.start(session, SYS.ioctl, [fd, command, memory.address], {
    handle,
    done: (result) => {
      if (result < 0) session.fail(-result);
      else reply(session, result, memory.bytes, size);
      free(memory);
    },
  });
  return LATER;
}

function reply(session: Session, result: number, argument: Uint8Array, size: number): void {
  session.reply(1).uint(result);
  session.keepReply();
  session.transport.endCopy(argument, size);
}

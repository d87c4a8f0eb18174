/**
 * What clients may do to processes of the HOST, where the export allows the class process:
 * send signals, say on which processors they run, and wait for their end.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { POLLIN } from "../../sys/poll.ts";
import { idsOf, pidfdOpen, startOf } from "../../sys/process.ts";
import { rawSyscall } from "../../sys/rawsyscall.ts";
import { SIGRTMAX } from "../../sys/signals.ts";
import { PROCESS_START_BYTES, ProcessCall } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { AFFINITY_MAX } from "../../wire/limits.ts";
import { isDone, noteDone } from "../doubt.ts";
import { isAllowed } from "../permission.ts";
import { LATER, type Session } from "../session.ts";

const ROOT = 0;
const mask = allocate(AFFINITY_MAX);

/**
 * `[call, process, caller's uid, signal]`, payload: processors, or which process is meant by its
 * start → processors, or its start
 */
export function processOp(session: Session): number {
  const { reader, transport } = session;
  const call = reader.uint();
  const pid = reader.uint32();
  const uid = reader.uint32();
  const signal = reader.uint32();
  reader.finish();
  const { payloadStart, payloadLength } = transport;
  if (payloadLength > AFFINITY_MAX) throw new ProtocolError("too many processors");
  if (!isAllowed(session, "process")) return E.EPERM;
  if ((pid | 0) <= 0) return E.ESRCH;
  const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  // pidfd_open(2) asks nobody who it is.
  if (call === ProcessCall.START) return start(session, pid);
  if (call === ProcessCall.WAIT) return wait(session, pid, meant(payload));
  // What a caller may do to others' processes, its own machine's kernel cannot tell it.
  if (uid !== ROOT && !idsOf(pid).includes(uid)) return E.EACCES;
  switch (call) {
    case ProcessCall.SIGNAL:
      return answer(session, send(session, pid, signal, meant(payload)), 0);
    case ProcessCall.SET_AFFINITY:
      mask.bytes.set(payload);
      return answer(
        session,
        rawSyscall(SYS.sched_setaffinity, pid, payloadLength, mask.address),
        0,
      );
    case ProcessCall.GET_AFFINITY: {
      const length = rawSyscall(SYS.sched_getaffinity, pid, AFFINITY_MAX, mask.address);
      return answer(session, length, Math.max(0, length));
    }
    default:
      return E.ENOSYS;
  }
}

/** The start that a payload says; undefined for any. */
function meant(payload: Buffer): number | undefined {
  if (payload.length === 0) return undefined;
  if (payload.length !== PROCESS_START_BYTES) throw new ProtocolError("a start of a wrong length");
  return Number(payload.readBigUInt64LE());
}

/** A descriptor of the process that was started then, or -errno. */
function open(pid: number, startedAt: number | undefined): number {
  const pidfd = pidfdOpen(pid);
  // EINVAL: a thread's number, ENOENT on later kernels; kill(2) takes those, nobody uses them.
  if (pidfd < 0) return pidfd === -E.EINVAL || pidfd === -E.ENOENT ? -E.ESRCH : pidfd;
  if (startedAt === undefined || startOf(pid) === startedAt) return pidfd;
  close(pidfd);
  return -E.ESRCH;
}

/** By a descriptor: the process that was looked at, or none. */
function send(
  session: Session,
  pid: number,
  signal: number,
  startedAt: number | undefined,
): number {
  if (signal > SIGRTMAX) return -E.EINVAL;
  if (isDone(session)) return 0;
  const pidfd = open(pid, startedAt);
  if (pidfd < 0) return pidfd;
  const result = rawSyscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0);
  close(pidfd);
  if (result === 0) noteDone(session);
  return result;
}

function start(session: Session, pid: number): number {
  const pidfd = open(pid, undefined);
  if (pidfd < 0) return -pidfd;
  close(pidfd);
  const startedAt = startOf(pid);
  if (startedAt < 0) return E.ESRCH;
  mask.bytes.writeBigUInt64LE(BigInt(startedAt));
  return answer(session, 0, PROCESS_START_BYTES);
}

/** Answers when the process has ended. */
function wait(session: Session, pid: number, startedAt: number | undefined): number {
  const pidfd = open(pid, startedAt);
  if (pidfd < 0) return -pidfd;
  const ended = (isCancelled: boolean) => {
    close(pidfd);
    if (isCancelled) session.fail(E.EINTR);
    else answer(session, 0, 0);
    session.transport.flush();
  };
  if (session.services.polls.wait(session, pidfd, POLLIN, ended)) return LATER;
  close(pidfd);
  return E.EAGAIN;
}

/** Answers with `length` bytes of the mask; an errno where the result is one. */
function answer(session: Session, result: number, length: number): number {
  if (result < 0) return -result;
  const w = session.reply(1);
  w.latin1(mask.bytes.latin1Slice(0, length));
  session.send();
  return 0;
}

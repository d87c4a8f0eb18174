/**
 * What clients may do to processes of the HOST, where the export allows the class process:
 * send signals, and say on which processors they run.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { geteuid } from "../../sys/identity.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { idsOf, pidfdOpen } from "../../sys/process.ts";
import { rawSyscall } from "../../sys/rawsyscall.ts";
import { SIGRTMAX } from "../../sys/signals.ts";
import { ProcessCall } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { AFFINITY_MAX } from "../../wire/limits.ts";
import { isDone, noteDone } from "../doubt.ts";
import { NO_UID, type Session } from "../session.ts";

const ROOT = 0;
const mask = allocate(AFFINITY_MAX);

/** `[call, process, caller's uid, signal]`, payload: processors → processors */
export function processOp(session: Session): number {
  const { reader, transport } = session;
  const call = reader.uint();
  const pid = reader.uint32();
  const uid = reader.uint32();
  const signal = reader.uint32();
  reader.finish();
  const { payloadStart, payloadLength } = transport;
  if (payloadLength > AFFINITY_MAX) throw new ProtocolError("too many processors");
  const refused = refusal(session);
  if (refused !== 0) return refused;
  if ((pid | 0) <= 0) return E.ESRCH;
  // What a caller may do to others' processes, its own machine's kernel cannot tell it.
  if (uid !== ROOT && !idsOf(pid).includes(uid)) return E.EACCES;
  switch (call) {
    case ProcessCall.SIGNAL:
      return answer(session, send(session, pid, signal), 0);
    case ProcessCall.SET_AFFINITY:
      mask.bytes.set(reader.bytes.subarray(payloadStart, payloadStart + payloadLength));
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

/** errno for a session that may not; 0 for one that may. */
function refusal({ attached, client }: Session): number {
  const isRoot = client.uid === ROOT || client.uid === NO_UID || client.uid === geteuid();
  return attached.allow.includes("process") && isRoot ? 0 : E.EPERM;
}

/** By a descriptor: the process that was looked at, or none. */
function send(session: Session, pid: number, signal: number): number {
  if (signal > SIGRTMAX) return -E.EINVAL;
  if (isDone(session)) return 0;
  const pidfd = pidfdOpen(pid);
  // EINVAL: a thread's number, ENOENT on later kernels; kill(2) takes those, nobody uses them.
  if (pidfd < 0) return pidfd === -E.EINVAL || pidfd === -E.ENOENT ? -E.ESRCH : pidfd;
  const result = rawSyscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0);
  close(pidfd);
  if (result === 0) noteDone(session);
  return result;
}

/** Answers with `length` bytes of the mask; an errno where the result is one. */
function answer(session: Session, result: number, length: number): number {
  if (result < 0) return -result;
  const w = session.reply(1);
  w.latin1(mask.bytes.latin1Slice(0, length));
  session.send();
  return 0;
}

/** Requests for locks, polls and ioctls, and those about other requests. */

import {
  BATCH_FORGET_IN,
  BATCH_FORGET_IN_SIZE,
  FORGET_ONE,
  FORGET_ONE_SIZE,
  IN_HEADER_SIZE,
  IOCTL_DIR,
  IOCTL_IN,
  IOCTL_IN_SIZE,
  IOCTL_OUT_SIZE,
  LK_FLOCK,
  LK_IN,
  LK_OUT,
  LK_OUT_SIZE,
  Opcode,
  POLL_IN,
  POLL_OUT_SIZE,
  POLL_SCHEDULE_NOTIFY,
} from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from "../../sys/poll.ts";
import { Lock } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { Op } from "../../wire/ops.ts";
import { put64 } from "../answers.ts";
import type { Client } from "../client.ts";
import { nodeKey, pollKey } from "../nodekey.ts";
import { TWIN_HIGH } from "../twins/doors.ts";
import { GHOST_HIGH } from "../watches/ghostattributes.ts";
import { isLive } from "./files.ts";

const ALWAYS_READY = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
const IOCTL_ARGUMENT_MAX = 16 * 1024;
/** Polled files that are woken when the server was restarted; more are not remembered. */
const POLLED_MAX = 16_384;

function setsFlock(c: Client): boolean {
  return (c.u32(LK_IN.lk_flags) & LK_FLOCK) !== 0;
}

export function getlk(c: Client): number {
  const w = c.ask(Op.GETLK);
  c.putNode(w);
  c.put64(w, LK_IN.owner);
  w.uint(c.u32(LK_IN.type));
  c.put64(w, LK_IN.start);
  c.put64(w, LK_IN.end);
  c.send();
  return 0;
}

export function answerGetlk(c: Client, slot: number): void {
  const { reader } = c.transport;
  const { view } = c.fuse.answer;
  const at = c.answerBody;
  const type = reader.uint32();
  if (type > Lock.UNLOCK) throw new ProtocolError("unknown lock type");
  reader.uint64();
  view.setUint32(at + LK_OUT.start, reader.low, true);
  view.setUint32(at + LK_OUT.start + 4, reader.high, true);
  reader.uint64();
  view.setUint32(at + LK_OUT.end, reader.low, true);
  view.setUint32(at + LK_OUT.end + 4, reader.high, true);
  view.setUint32(at + LK_OUT.type, type, true);
  view.setUint32(at + LK_OUT.pid, reader.uint32(), true);
  reader.finish();
  c.answer(slot, LK_OUT_SIZE);
}

export function setlk(c: Client): number {
  const wait = c.fuse.opcode === Opcode.SETLKW ? 1 : 0;
  const type = c.u32(LK_IN.type);
  if (setsFlock(c)) {
    const w = c.ask(Op.FLOCK);
    w.uint(c.u32(LK_IN.fh));
    w.uint(type);
    w.uint(wait);
    c.send();
    return 0;
  }
  if (type !== Lock.UNLOCK) c.locked.add(nodeKey(c.fuse.nodeHigh, c.fuse.nodeLow));
  const w = c.ask(Op.SETLK);
  c.putNode(w);
  w.uint(c.u32(LK_IN.fh));
  c.put64(w, LK_IN.owner);
  w.uint(type);
  c.put64(w, LK_IN.start);
  c.put64(w, LK_IN.end);
  w.uint(c.u32(LK_IN.pid));
  w.uint(wait);
  c.send();
  return 0;
}

export function poll(c: Client): number {
  const events = c.u32(POLL_IN.events);
  if (!isLive(c, POLL_IN.fh)) {
    // A file on a disk is always ready (poll(2)).
    put64(c.fuse.answer.view, c.answerBody, events & ALWAYS_READY);
    c.answerBodyNow(POLL_OUT_SIZE);
    return 0;
  }
  const notify = (c.u32(POLL_IN.flags) & POLL_SCHEDULE_NOTIFY) !== 0;
  const w = c.ask(Op.POLL);
  w.uint(c.u32(POLL_IN.fh));
  w.uint(events & 0xffff);
  if (notify) {
    c.put64(w, POLL_IN.kh);
    if (c.polled.size >= POLLED_MAX) c.polled.clear();
    const [high, low] = [c.u32(POLL_IN.kh + 4), c.u32(POLL_IN.kh)];
    c.polled.set(pollKey(high, low), [high, low]);
  } else {
    w.uint(0);
  }
  c.send();
  return 0;
}

export function answerPoll(c: Client, slot: number): void {
  const ready = c.transport.reader.uint32();
  c.transport.reader.finish();
  put64(c.fuse.answer.view, c.answerBody, ready);
  c.answer(slot, POLL_OUT_SIZE);
}

export function ioctl(c: Client): number {
  const inBytes = c.u32(IOCTL_IN.in_size);
  const outBytes = c.u32(IOCTL_IN.out_size);
  const size = Math.max(inBytes, outBytes);
  if (size > IOCTL_ARGUMENT_MAX) return E.EINVAL;
  const w = c.ask(Op.IOCTL, outBytes);
  c.putNode(w);
  w.uint(c.u32(IOCTL_IN.flags) & IOCTL_DIR ? 0 : c.u32(IOCTL_IN.fh));
  w.uint(c.u32(IOCTL_IN.cmd));
  w.uint(size);
  c.sendWith(IN_HEADER_SIZE + IOCTL_IN_SIZE, inBytes);
  return 0;
}

export function answerIoctl(c: Client, slot: number): void {
  const { reader, payloadLength, payloadStart } = c.transport;
  const result = reader.uint32();
  reader.finish();
  const outBytes = c.pending.first[slot] as number;
  if (payloadLength < outBytes) throw new ProtocolError("ioctl answers too little");
  const { view, bytes } = c.fuse.answer;
  const at = c.answerBody;
  put64(view, at, result);
  put64(view, at + 8, 0);
  bytes.set(reader.bytes.subarray(payloadStart, payloadStart + outBytes), at + IOCTL_OUT_SIZE);
  c.answer(slot, IOCTL_OUT_SIZE + outBytes);
}

export function forget(c: Client): number {
  forgetNode(c, c.fuse.nodeHigh, c.fuse.nodeLow, c.u64(0));
  return 0;
}

/** Nobody has a file open, or locked, that the kernel forgets. */
function forgetNode(c: Client, high: number, low: number, lookups: number): void {
  if (high === GHOST_HIGH || high === TWIN_HIGH) return;
  c.locked.delete(nodeKey(high, low));
  c.forget(high, low, lookups);
  c.twins?.sockets.forgotten(high, low);
}

export function batchForget(c: Client): number {
  const count = c.u32(BATCH_FORGET_IN.count);
  for (let i = 0; i < count; i++) {
    const at = BATCH_FORGET_IN_SIZE + i * FORGET_ONE_SIZE;
    forgetNode(
      c,
      c.u32(at + FORGET_ONE.nodeid + 4),
      c.u32(at + FORGET_ONE.nodeid),
      c.u64(at + FORGET_ONE.nlookup),
    );
  }
  return 0;
}

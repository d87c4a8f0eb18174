/**
 * Going on where another process has died. The kernel still waits for what that
 * process had read and not answered: it is asked to send it again, marked, and
 * each such request gets back the slot and sequence it had, so that the server
 * runs it once whatever it has seen of it.
 */
import { UNMOUNTED } from "../fuse/device.ts";
import { Notify } from "../fuse/protocol.ts";
import type { Client } from "./client.ts";
import { RESENT_BIT, State } from "./pending.ts";
import { Head } from "./record.ts";
import type { Stall } from "./stall.ts";

/**
 * Settles what every slot in the record is about. What else the kernel asks
 * meanwhile waits in `stall`, or is given to `serve` if it needs no server. True
 * if the file system has been unmounted.
 *
 * A kernel that cannot send again (before 6.9) is answered from what the record
 * kept of its requests; one that was just being read is lost with its caller.
 */
export function takeOver(c: Client, stall: Stall, serve: () => void): boolean {
  const { fuse, pending, record, retained } = c;
  retained.adopt(pending.inOrder());
  c.holds = true;
  // More was told to the process that died than the kernel has heard of.
  record.set(Head.EVENTS, record.get(Head.EVENTS) + UNHEARD);
  if (record.get(Head.RESENDS) === 0) {
    pending.reopen();
    return false;
  }
  const { state } = pending;
  const unasked = new Set(
    pending
      .inOrder()
      .filter((slot) => state[slot] === State.ASKED || state[slot] === State.ANSWERED),
  );
  for (const channel of [0, ...fuse.channels.numbers()]) {
    fuse.notify(Notify.RESEND, 0, 0, 0, fuse.channels.fdOf(channel));
  }
  let length = fuse.next();
  for (; length > 0; length = fuse.next()) {
    const slot = slotOf(c);
    if (slot >= 0) {
      unasked.delete(slot);
      askAgain(c, slot);
    } else if (stall.concerned) {
      stall.take(0);
    } else {
      serve();
    }
  }
  for (const slot of unasked) settle(c, slot);
  return length === UNMOUNTED;
}

/**
 * The request of `slot` does not come again: the kernel has got its answer, just
 * before the end, or its caller was killed meanwhile and wants none.
 */
function settle(c: Client, slot: number): void {
  if (c.pending.state[slot] === State.ANSWERED) c.finish(slot);
  else c.pending.state[slot] = State.ABANDONED;
}

/** No session has had as many events: the server finds that some were not heard. */
const UNHEARD = 2 ** 40;

/** Slot of the request in the device's buffer, which the kernel sends again, or -1. */
function slotOf(c: Client): number {
  const { fuse, pending } = c;
  if ((fuse.uniqueHigh & RESENT_BIT) === 0) return -1;
  const slot = pending.findAny(fuse.uniqueLow, fuse.uniqueHigh);
  return slot >= 0 && pending.opcode[slot] === fuse.opcode ? slot : -1;
}

/** Keeps the request in the device's buffer as that of `slot`, under the number it has now. */
function askAgain(c: Client, slot: number): void {
  const { fuse, pending, retained } = c;
  pending.uniqueHigh[slot] = fuse.uniqueHigh;
  pending.startedNs[slot] = Bun.nanoseconds();
  retained.release(slot);
  retained.keep(slot);
  retained.settle();
  pending.state[slot] = State.ASKED;
}

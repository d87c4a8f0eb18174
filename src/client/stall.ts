/**
 * Requests of the kernel that the server cannot be given: the connection takes
 * no more, or all slots are in use. They are read all the same once that lasts,
 * because a process that exits waits for its FLUSH with no way to be killed, and
 * because a caller behind a silent server is owed its errno.
 */

import { IN_HEADER, Opcode } from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { isDying, isWait, PATIENCE_NS } from "./callers.ts";
import type { Client } from "./client.ts";
import { forward } from "./dispatch.ts";
import { nodeKey } from "./nodekey.ts";
import { State } from "./pending.ts";

const PAGE_BYTES = 4096;
/** Memory that waiting requests may take; beyond, they stay with the kernel. */
const PARKED_BYTES_MAX = 64 * 1024 * 1024;

/** Requests that become messages to the server. */
const CLOSES: ReadonlySet<number> = new Set([Opcode.RELEASE, Opcode.RELEASEDIR]);

/** Requests that are served without the server. */
const LOCAL: ReadonlySet<number> = new Set([
  Opcode.INIT,
  Opcode.INTERRUPT,
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.OPENDIR,
]);

interface Parked {
  readonly region: Region;
  readonly opcode: number;
  readonly takenNs: number;
  /** The caller waits no more; the server is to be asked nevertheless. */
  answered: boolean;
}

function word(parked: Parked, offset: number): number {
  return parked.region.view.getUint32(offset, true);
}

export class Stall {
  readonly #client: Client;
  #parked: Parked[] = [];
  #bytes = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  get isEmpty(): boolean {
    return this.#parked.length === 0;
  }

  /** Whether no further request may be kept. */
  get isFull(): boolean {
    return this.#bytes >= PARKED_BYTES_MAX;
  }

  /** Whether the request in the device's buffer can be served only by the server. */
  get concerned(): boolean {
    const { fuse, locked, oneways } = this.#client;
    if (CLOSES.has(fuse.opcode)) return !oneways.hasRoom;
    if (fuse.opcode === Opcode.FLUSH) return locked.has(nodeKey(fuse.nodeHigh, fuse.nodeLow));
    return !LOCAL.has(fuse.opcode) && this.#client.view?.concerns(this.#client) !== true;
  }

  /** Keeps the request in the device's buffer or, with an errno, refuses it. */
  take(wanted: number): void {
    const { fuse, ghosts } = this.#client;
    const { opcode } = fuse;
    // A ghost has the mount in use: it does not wait for a server that may never answer.
    const errno = ghosts?.isOwn ? ghosts.refusal() : wanted;
    if (errno !== 0) this.#client.answerNow(errno);
    const answered = errno !== 0;
    if (answered && !mustReach(opcode)) return;
    const region = allocate(fuse.length);
    region.bytes.set(fuse.request.bytes.subarray(0, fuse.length));
    this.#parked.push({ region, opcode, takenNs: Bun.nanoseconds(), answered });
    this.#bytes += PAGE_BYTES + region.size;
  }

  /** Forwards the oldest request; the connection must have room. */
  forwardNext(): void {
    const parked = this.#parked.shift() as Parked;
    const { fuse, pending } = this.#client;
    const [low, high] = [word(parked, IN_HEADER.unique), word(parked, IN_HEADER.unique + 4)];
    fuse.request.bytes.set(parked.region.bytes);
    this.#bytes -= PAGE_BYTES + parked.region.size;
    free(parked.region);
    const errno = forward(this.#client);
    if (errno !== 0 && !parked.answered) this.#client.answerNow(errno);
    const slot = parked.answered ? pending.find(low, high) : -1;
    if (slot >= 0) pending.state[slot] = State.ABANDONED;
  }

  /** Answers every caller with `errno`. */
  failAll(errno: number): void {
    this.#answerIf(errno, () => true);
  }

  /** Answers every caller that is dying and has waited for a while. */
  releaseTheDying(): void {
    const before = Bun.nanoseconds() - PATIENCE_NS;
    this.#answerIf(E.EINTR, (parked) => {
      return parked.takenNs < before && isDying(word(parked, IN_HEADER.pid));
    });
  }

  /** The kernel says that the caller of request `unique` has a signal. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    this.#answerIf(E.EINTR, (parked) => {
      const itself =
        word(parked, IN_HEADER.unique) === uniqueLow &&
        word(parked, IN_HEADER.unique + 4) === uniqueHigh;
      return itself && (isWait(parked.opcode) || isDying(word(parked, IN_HEADER.pid)));
    });
  }

  #answerIf(errno: number, chosen: (parked: Parked) => boolean): void {
    this.#parked = this.#parked.filter((parked) => {
      if (parked.answered || !chosen(parked)) return true;
      const low = word(parked, IN_HEADER.unique);
      this.#client.fuse.replyErrno(low, word(parked, IN_HEADER.unique + 4), errno);
      parked.answered = true;
      if (mustReach(parked.opcode)) return true;
      this.#bytes -= PAGE_BYTES + parked.region.size;
      free(parked.region);
      return false;
    });
  }
}

/** Whether the server is told though nobody waits: the FLUSH of a close ends locks. */
function mustReach(opcode: number): boolean {
  return opcode === Opcode.FLUSH || CLOSES.has(opcode);
}

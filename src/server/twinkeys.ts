/**
 * Keys of one session: what its client may have streams joined to. The descriptors are
 * the bridge's; here is only how many there are, and which key each slot was given last,
 * for a repetition of its request. Those of an earlier process are the bridge's alone.
 */
import { createHash } from "node:crypto";
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { NO_KEY } from "../wire/constants.ts";
import { TWINS_MAX } from "../wire/limits.ts";
import { What } from "./bridge/messages.ts";
import type { Session } from "./session.ts";
import { noteEnd } from "./sockets.ts";

const KEY_BYTES = 6;

/**
 * The key that the request being served is given: 48 bits that nobody guesses who does not know
 * the session's id, and the same in another process, which is asked again.
 */
function keyOf({ epoch, owner, sequence, slot }: Session): number {
  const digest = createHash("sha256").update(`${owner} ${epoch} ${slot} ${sequence}`).digest();
  return digest.readUIntBE(0, KEY_BYTES) || 1;
}

export class TwinKeys {
  readonly #keys = new Set<number>();
  /** Inodes of those that are listeners. */
  readonly #inodes = new Map<number, string>();
  readonly #given = new Map<number, { sequence: number; key: number }>();

  get size(): number {
    return this.#keys.size;
  }

  /** The key that an earlier run of the request being served was given; undefined: none. */
  given({ slot, sequence }: Session): number | undefined {
    const last = this.#given.get(slot);
    return last?.sequence === sequence ? last.key : undefined;
  }

  /**
   * A new key for `fd`, owned from now on, as `what` (bridge/messages.ts) and of `type` (SOCK_*
   * or 0), given to the request being served; or -errno.
   */
  add(session: Session, fd: number, what: number, type: number): number {
    const { owner, services, slot, sequence } = session;
    if (fd < 0) return fd;
    const isFull = this.#keys.size >= TWINS_MAX;
    const key = keyOf(session);
    if (isFull || !services.bridge.add(owner, key, fd, what, type)) {
      close(fd);
      return isFull ? -E.ENFILE : -E.EAGAIN;
    }
    this.#keys.add(key);
    this.#given.set(slot, { sequence, key });
    return key;
  }

  /** The same for a listener, which is bound to `inode` (sockets.ts). */
  addListener(session: Session, fd: number, type: number, inode: string): number {
    const key = this.add(session, fd, What.LISTENER, type);
    if (key >= 0) this.#inodes.set(key, inode);
    return key;
  }

  /** The key that an earlier process gave to the request being served, which it did not answer. */
  addAgain(session: Session): number {
    const key = keyOf(session);
    this.#keys.add(key);
    this.#given.set(session.slot, { sequence: session.sequence, key });
    return key;
  }

  /** Takes a key back, if there is such a one; with NO_KEY the streams that were opened. */
  remove({ owner, services }: Session, key: number): void {
    if (key === NO_KEY) services.bridge.cut(owner);
    else {
      // One that an earlier process has given is the bridge's alone.
      this.#keys.delete(key);
      const inode = this.#inodes.get(key);
      if (inode !== undefined) noteEnd(inode);
      this.#inodes.delete(key);
      services.bridge.remove(owner, key);
    }
  }
}

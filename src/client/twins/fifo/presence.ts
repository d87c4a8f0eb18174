/**
 * Who has a FIFO open here: threads that are about to, processes that have, and looks at the
 * FIFO itself where nothing else tells. README.md says in which order.
 */

import { holds } from "../../../bridge/holders.ts";
import { hasWriters, unread } from "../../../bridge/pipeends.ts";
import { E } from "../../../sys/errno.ts";
import { close, O_RDONLY, O_WRONLY } from "../../../sys/open.ts";
import { At } from "./machine.ts";
import { Openers, type PendingOpener } from "./openers.ts";
import { type FifoParts, UNREAD_FIRST_MS, type What } from "./parts.ts";

/** What stays unread is looked for less and less often. */
const UNREAD_LAST_MS = 1000;
/** After a look that has found somebody: what happened meanwhile may have been missed. */
const AGAIN_FIRST_MS = 200;
const AGAIN_LAST_MS = 5000;

export class Presence {
  readonly #fifo: FifoParts;
  readonly #openers: Openers;
  /** Processes that have had it open, by what for. */
  readonly #known: Record<What, Set<number>> = { reads: new Set(), writes: new Set() };
  #cancelUnread: (() => void) | undefined;
  #watchesWrites = false;
  /** Whether readers may have it open that no writer has come to yet: they would see one that comes and goes. */
  #hasFreshReaders = false;
  #unreadMs = UNREAD_FIRST_MS;
  #cancelAgain = () => {};
  #againMs = AGAIN_FIRST_MS;
  /** As a process here sees it; for people. */
  path = "";

  constructor(fifo: FifoParts) {
    this.#fifo = fifo;
    this.#openers = new Openers(fifo.world.loop, (opener) => this.#resolved(opener));
  }

  /** Threads that are about to open it. */
  get openers(): number {
    return this.#openers.size;
  }

  /** Processes that are known to have it open. */
  get pids(): number[] {
    return [...new Set([...this.#known.reads, ...this.#known.writes])];
  }

  add(opener: PendingOpener & { readonly waits: boolean }): void {
    const { reads, writes, waits, unknown } = opener;
    if (unknown || (reads && !writes && !waits)) this.#hasFreshReaders = true;
    this.#openers.add(opener);
  }

  /** Looks at all who are about to open it. */
  look(): void {
    this.#openers.look();
  }

  waitsFor(what: What): boolean {
    for (const opener of this.#openers) if (opener[what]) return true;
    return false;
  }

  /** Whether somebody is about to open it of whom nobody knows what for. */
  get hasUnknown(): boolean {
    for (const opener of this.#openers) if (opener.unknown) return true;
    return false;
  }

  unknownDoNot(what: What): void {
    for (const opener of this.#openers) if (opener.unknown) opener[what] = false;
  }

  /** Somebody has had it open for writing, as who reads may see. */
  hadWriter(): void {
    this.#hasFreshReaders = false;
  }

  /** All who were known are gone. */
  gone(what: What): void {
    this.#known[what].clear();
  }

  close(): void {
    this.#openers.close();
    this.#cancelUnread?.();
    this.#cancelAgain();
  }

  /** A thread is not about to open it any more: it has, or has given up. */
  #resolved(opener: PendingOpener): void {
    const { world } = this.#fifo;
    if (this.#fifo.isOver) return;
    const inode = world.inode();
    const held = inode === undefined ? undefined : holds(opener.pid, inode);
    const { reads, writes } = held ?? opener;
    if (held?.path) this.path = held.path;
    if (reads) this.#known.reads.add(opener.pid);
    if (writes) {
      this.#known.writes.add(opener.pid);
      this.hadWriter();
    }
    this.#fifo.step({ kind: "gaveUp", id: opener.id });
    if (reads || writes) this.#fifo.step({ kind: "found", reads, writes });
    this.#fifo.resolved();
  }

  #stillHave(what: What): boolean {
    const pids = this.#known[what];
    const inode = this.#fifo.world.inode();
    for (const pid of pids) {
      if (inode !== undefined && holds(pid, inode)[what]) return true;
      pids.delete(pid);
    }
    return false;
  }

  /** Looks whether those still have it open who are believed to; what our open ends tell is known anyhow. */
  check(): void {
    const { hasReadEnd, hasWriteEnd, machine, world } = this.#fifo;
    if (this.#fifo.isOver || world.isPlacing()) return;
    const hasNone = !hasReadEnd && !hasWriteEnd;
    if (machine.readers && !this.waitsFor("reads") && !this.#stillHave("reads")) {
      if (hasNone) this.#fifo.enqueue({ kind: "lookForReaders" });
      else if (!hasWriteEnd) this.#fifo.step({ kind: "readersGone" });
    }
    if (machine.writers && !this.waitsFor("writes") && !this.#stillHave("writes")) {
      if (hasNone) this.#fifo.enqueue({ kind: "lookForWriters" });
      else if (!hasReadEnd) this.#fifo.step({ kind: "writersGone" });
    }
  }

  get #isUntouched(): boolean {
    return !this.#fifo.hasReadEnd && !this.#fifo.hasWriteEnd;
  }

  /** Whether it is to be found out if anybody still has it open, and no end of ours tells. */
  #isOpenTo(what: What): boolean {
    const { machine } = this.#fifo;
    const isBelieved = what === "reads" ? machine.readers : machine.writers;
    return this.#isUntouched && isBelieved && !this.waitsFor(what);
  }

  /** Readers who would see a look (POLLHUP) are searched first: usually none is left. */
  lookForReaders(): void {
    if (!this.#isOpenTo("reads")) return;
    if (!this.#hasFreshReaders) {
      this.#tryToWrite();
      return;
    }
    this.#search("reads", () => this.#tryToWrite());
  }

  /** Looks for processes that have it open and were not known; with none of them calls `unfound`. */
  #search(what: What, unfound: () => void): void {
    this.#fifo.search(what, (pid) => {
      if (!this.#isOpenTo(what)) return;
      if (pid === 0) unfound();
      else this.#known[what].add(pid);
    });
  }

  /** Opens the FIFO for writing, which only goes where somebody reads. */
  #tryToWrite(): void {
    const { world } = this.#fifo;
    this.#fifo.open(O_WRONLY, (fd) => {
      if (fd >= 0) {
        close(fd);
        world.hush();
        this.#lookAgain();
      } else if (fd === -E.ENXIO && !this.waitsFor("reads")) {
        this.#fifo.step({ kind: "readersGone" });
      }
    });
  }

  /** Opens the FIFO for reading, where an empty pipe shows whether anybody writes; else they are searched. */
  lookForWriters(): void {
    const { world } = this.#fifo;
    if (!this.#isOpenTo("writes")) return;
    this.#fifo.open(O_RDONLY, (fd) => {
      if (fd < 0) return;
      const isThere = hasWriters(fd);
      close(fd);
      world.hush();
      if (isThere) this.#lookAgain();
      else if (isThere === undefined) this.#search("writes", () => this.#writersGone());
      else this.#writersGone();
    });
  }

  #writersGone(): void {
    if (!this.waitsFor("writes")) this.#fifo.step({ kind: "writersGone" });
  }

  /** Somebody has it open of whom nothing is known, and may have closed it while we looked. */
  #lookAgain(): void {
    this.#cancelAgain();
    this.#cancelAgain = this.#fifo.world.loop.after(this.#againMs, () => this.check());
    this.#againMs = Math.min(this.#againMs * 2, AGAIN_LAST_MS);
  }

  /** Whether both ends are open here, and data may be for the HOST nevertheless. */
  get #mayBeUnread(): boolean {
    const { at, readers, writers } = this.#fifo.machine;
    return at === At.DOWN_WAIT && readers && writers;
  }

  /** Looks for what stays unread, if that may be; something was written, or the machine has gone on. */
  awaitUnread(): void {
    if (!this.#mayBeUnread) return;
    const { world } = this.#fifo;
    if (!this.#watchesWrites) world.watchWrites();
    this.#watchesWrites = true;
    this.#cancelUnread ??= world.loop.after(this.#unreadMs, () => {
      this.#cancelUnread = undefined;
      if (this.#mayBeUnread) this.#fifo.enqueue({ kind: "lookForUnread" });
    });
  }

  lookForUnread(): void {
    if (!this.#isUntouched || !this.#mayBeUnread) return;
    if (this.hasUnknown) {
      // What may only be a reader must not be let in by a look.
      this.#foundUnread(true);
      return;
    }
    if (!this.waitsFor("writes") && !this.#stillHave("writes")) {
      // Opening it for writing would be seen.
      this.check();
      return;
    }
    this.#fifo.open(O_WRONLY, (fd) => {
      const bytes = fd < 0 ? 0 : unread(fd);
      if (fd >= 0) close(fd);
      this.#fifo.world.hush();
      this.#foundUnread(bytes > 0);
    });
  }

  #foundUnread(any: boolean): void {
    this.#unreadMs = any ? Math.min(this.#unreadMs * 2, UNREAD_LAST_MS) : UNREAD_FIRST_MS;
    if (any) this.#fifo.step({ kind: "unread" });
  }
}

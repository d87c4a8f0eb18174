/**
 * Who opens FIFOs of the HOST while we hold both ends of them, when nothing else tells: fanotify
 * (7) names the process, and /proc says what it has opened them for.
 */
import { type Held, holds, identityOf } from "../../../bridge/holders.ts";
import type { Loop } from "../../../bridge/loop.ts";
import { cstring } from "../../../sys/cstring.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import {
  FAN_MARK_ADD,
  FAN_MARK_REMOVE,
  FAN_METADATA,
  FAN_OPEN,
  fanotifyInitOpens,
  fanotifyMark,
} from "../../../sys/fanotify.ts";
import { read } from "../../../sys/io.ts";
import { allocate } from "../../../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat } from "../../../sys/open.ts";

const EVENTS_BYTES = 16 * 1024;
/** It is told of an open a little before /proc shows the descriptor; from one look to the next. */
const LOOK_FIRST_MS = 1;
const LOOKS = 4;
const UNKNOWN: Held = { reads: true, writes: false, path: "" };

const events = allocate(EVENTS_BYTES);

/** Told what a process has opened the FIFO for. */
type Came = (held: Held) => void;

interface Watched {
  readonly inode: string;
  readonly came: Came;
}

export class Comers {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #watched = new Set<Watched>();

  constructor(loop: Loop) {
    this.#loop = loop;
    // Without CAP_SYS_ADMIN there is none.
    this.#fd = fanotifyInitOpens();
    if (this.#fd >= 0) loop.add(this.#fd, EPOLLIN, this);
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#loop.remove(this.#fd);
    close(this.#fd);
  }

  /**
   * Calls `came` for each process that opens the FIFO at `path` from now on, until what is
   * returned is called; undefined where that cannot be had.
   */
  watch(path: string, came: Came): (() => void) | undefined {
    if (this.#fd < 0) return undefined;
    const inode = inodeOf(path);
    if (inode === undefined) return undefined;
    if (fanotifyMark(this.#fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, cstring(path)) < 0) {
      return undefined;
    }
    const watched = { inode, came };
    this.#watched.add(watched);
    return () => {
      this.#watched.delete(watched);
      for (const other of this.#watched) if (other.inode === inode) return;
      fanotifyMark(this.#fd, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, cstring(path));
    };
  }

  onEvents(): void {
    const pids = new Set<number>();
    for (;;) {
      const got = read(this.#fd, events.address, events.size);
      if (got <= 0) break;
      for (let at = 0; at < got; ) {
        pids.add(events.view.getInt32(at + FAN_METADATA.pid, true));
        at += events.view.getUint32(at + FAN_METADATA.event_len, true);
      }
    }
    pids.delete(process.pid);
    for (const pid of pids) this.#look(pid, [...this.#watched], LOOK_FIRST_MS);
  }

  /** Looks which of `watched` process `pid` has open: it is one of them at least. */
  #look(pid: number, watched: readonly Watched[], ms: number): void {
    let any = false;
    for (const one of watched) {
      if (!this.#watched.has(one)) continue;
      const held = holds(pid, one.inode);
      if (!held.reads && !held.writes) continue;
      any = true;
      one.came(held);
    }
    if (any) return;
    if (ms < LOOK_FIRST_MS << LOOKS) {
      this.#loop.after(ms, () => this.#look(pid, watched, ms * 2));
      return;
    }
    // It has closed it, passed it on, or cannot be seen from here.
    for (const one of watched) if (this.#watched.has(one)) one.came(UNKNOWN);
  }
}

function inodeOf(path: string): string | undefined {
  const fd = openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const inode = identityOf(fd);
  close(fd);
  return inode;
}

/**
 * What happens on the HOST to what clients' programs watch (WATCH): one inotify
 * instance per reactor, each watch of it for all the sessions that asked for it.
 *
 * An event says nothing of who caused it, but the reactor knows when it acts for a
 * session: what there is to hear before is told, and what there is right after, of
 * the kinds that the operation causes, is that session's own doing.
 */
import { E } from "../../sys/errno.ts";
import {
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  INOTIFY_EVENT,
  INOTIFY_EVENT_STRUCT_SIZE,
  inotifyAddWatch,
  inotifyInit,
  inotifyRemoveWatch,
} from "../../sys/inotify.ts";
import { read } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { Happening } from "../../wire/constants.ts";
import { EVENT_WATCHES_MAX } from "../../wire/limits.ts";
import { procPath } from "../reach.ts";
import type { Touched } from "../session.ts";

const MOVED = IN_MOVED_FROM | IN_MOVED_TO;
const SELF = IN_DELETE_SELF | IN_MOVE_SELF;
const HEARD = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | MOVED | SELF;
const EVENTS_BYTES = 64 * 1024;

/** inotify's kinds and the wire's. */
const KINDS: readonly (readonly [inotify: number, wire: number])[] = [
  [IN_CREATE, Happening.CREATE],
  [IN_DELETE, Happening.DELETE],
  [IN_MODIFY, Happening.MODIFY],
  [IN_CLOSE_WRITE, Happening.CLOSE_WRITE],
  [IN_ATTRIB, Happening.ATTRIB],
  [MOVED, Happening.MOVE],
  [IN_DELETE_SELF, Happening.DELETE_SELF],
  [IN_MOVE_SELF, Happening.MOVE_SELF],
  [IN_ISDIR, Happening.DIRECTORY],
];

/** Who is told: one session's tree. */
export interface Hearer {
  /**
   * Something happened to the entry `name` of the directory `row` or, where it is
   * empty, to `row` itself. For a move either row may be -1: not watched.
   */
  happened(kinds: number, row: number, name: string, toRow: number, toName: string): void;
  /** Whether that, to `name` of `row` or `row` itself, is what was touched. */
  isAbout(touched: Readonly<Touched>, row: number, name: string): boolean;
}

/** Who has just done something, which kinds of event (IN_*) that causes, and what it was about. */
export interface Actor {
  readonly hearer: Hearer;
  readonly causes: number;
  readonly touched: Readonly<Touched>;
}

/** Rows by the tree that watches them. */
type Rows = Map<Hearer, number>;

interface Departure {
  readonly rows: Rows;
  readonly name: string;
  readonly cookie: number;
  readonly kinds: number;
}

const events = allocate(EVENTS_BYTES);
const NOBODY: Rows = new Map();
const NONE = -1;

export class Happenings {
  /** The instance's descriptor; -1 while nobody watches. */
  fd = NONE;
  readonly #rows = new Map<number, Rows>();
  readonly #watches = new Map<Hearer, Map<number, number>>();
  /** The first half of a move, until it is known whether there is another. */
  #departure: Departure | undefined;
  /** Who has just done something. */
  #actor: Actor | undefined;
  /** Watches of all sessions, and how often the kernel had no room for an event. */
  size = 0;
  overflows = 0;

  /** `hearer` wants to hear of `row`, which is `fd`: 0 or an errno. */
  watch(hearer: Hearer, row: number, fd: number): number {
    const own = this.#watches.get(hearer) ?? new Map<number, number>();
    if (own.has(row)) return 0;
    if (own.size >= EVENT_WATCHES_MAX) return E.ENOSPC;
    if (this.fd < 0) this.fd = inotifyInit();
    if (this.fd < 0) return this.fd === -E.EMFILE ? E.ENOSPC : E.ENOSYS;
    const wd = inotifyAddWatch(this.fd, procPath(fd), HEARD);
    if (wd < 0) return -wd;
    const rows = this.#rows.get(wd) ?? new Map<Hearer, number>();
    rows.set(hearer, row);
    this.#rows.set(wd, rows);
    this.#watches.set(hearer, own.set(row, wd));
    this.size++;
    return 0;
  }

  /** It does not want to any more. */
  unwatch(hearer: Hearer, row: number): void {
    const own = this.#watches.get(hearer);
    const wd = own?.get(row);
    if (own === undefined || wd === undefined) return;
    own.delete(row);
    if (own.size === 0) this.#watches.delete(hearer);
    this.size--;
    const rows = this.#rows.get(wd);
    if (rows?.get(hearer) !== row) return;
    rows.delete(hearer);
    if (rows.size > 0) return;
    this.#rows.delete(wd);
    inotifyRemoveWatch(this.fd, wd);
    if (this.#rows.size === 0) this.#close();
  }

  /** The session has ended. */
  remove(hearer: Hearer): void {
    for (const row of [...(this.#watches.get(hearer)?.keys() ?? [])]) this.unwatch(hearer, row);
  }

  /** Whether `hearer` watches `row`. */
  hears(hearer: Hearer, row: number): boolean {
    return this.#watches.get(hearer)?.has(row) ?? false;
  }

  /** Tells of what has happened, but `actor` not of what it has done itself; whether anything had. */
  deliver(actor?: Actor): boolean {
    if (this.fd < 0) return false;
    this.#actor = actor;
    let any = false;
    while (this.fd >= 0) {
      const got = read(this.fd, events.address, EVENTS_BYTES);
      if (got === -E.EINTR) continue;
      if (got <= 0) break;
      any = true;
      for (let at = 0; at + INOTIFY_EVENT_STRUCT_SIZE <= got; ) {
        const length = events.view.getUint32(at + INOTIFY_EVENT.len, true);
        this.#event(at, length);
        at += INOTIFY_EVENT_STRUCT_SIZE + length;
      }
    }
    this.#depart();
    return any;
  }

  #event(at: number, length: number): void {
    const { bytes, view } = events;
    const wd = view.getInt32(at + INOTIFY_EVENT.wd, true);
    const mask = view.getUint32(at + INOTIFY_EVENT.mask, true);
    if ((mask & IN_Q_OVERFLOW) !== 0) this.overflows++;
    const rows = this.#rows.get(wd);
    if (rows === undefined) return;
    if ((mask & IN_IGNORED) !== 0) {
      this.#ended(wd, rows);
      return;
    }
    const start = at + INOTIFY_EVENT.name;
    const name = length === 0 ? "" : bytes.latin1Slice(start, bytes.indexOf(0, start));
    const kinds = KINDS.reduce((sum, [from, to]) => sum | ((mask & from) !== 0 ? to : 0), 0);
    const cookie = view.getUint32(at + INOTIFY_EVENT.cookie, true);
    if ((mask & IN_MOVED_TO) !== 0) {
      this.#arrive(kinds, name, cookie, this.#told(rows, mask, name));
      return;
    }
    this.#depart();
    if ((mask & IN_MOVED_FROM) !== 0) {
      this.#departure = { rows: this.#told(rows, mask, name), name, cookie, kinds };
      return;
    }
    for (const [hearer, row] of this.#told(rows, mask, name))
      hearer.happened(kinds, row, name, NONE, "");
  }

  /** Who is told of an event: those who have not caused it. */
  #told(rows: Rows, mask: number, name: string): Rows {
    const actor = this.#actor;
    if (actor === undefined || (mask & actor.causes) === 0) return rows;
    const row = rows.get(actor.hearer);
    if (row === undefined || !actor.hearer.isAbout(actor.touched, row, name)) return rows;
    return new Map([...rows].filter(([hearer]) => hearer !== actor.hearer));
  }

  /** The second half of a move. */
  #arrive(kinds: number, name: string, cookie: number, rows: Rows): void {
    const from = this.#departure?.cookie === cookie ? this.#departure : undefined;
    if (from === undefined) this.#depart();
    this.#departure = undefined;
    for (const hearer of new Set([...rows.keys(), ...(from?.rows ?? NOBODY).keys()])) {
      const [row, toRow] = [from?.rows.get(hearer) ?? NONE, rows.get(hearer) ?? NONE];
      hearer.happened(kinds, row, from?.name ?? "", toRow, toRow < 0 ? "" : name);
    }
  }

  /** What was moved away has not come to a place that is watched. */
  #depart(): void {
    const from = this.#departure;
    this.#departure = undefined;
    for (const [hearer, row] of from?.rows ?? NOBODY) {
      hearer.happened(from?.kinds ?? 0, row, from?.name ?? "", NONE, "");
    }
  }

  /** The inode is gone, or its file system unmounted. */
  #ended(wd: number, rows: Rows): void {
    this.#rows.delete(wd);
    for (const [hearer, row] of rows) {
      const own = this.#watches.get(hearer);
      if (own?.delete(row)) this.size--;
      if (own?.size === 0) this.#watches.delete(hearer);
    }
  }

  #close(): void {
    close(this.fd);
    this.fd = NONE;
  }
}

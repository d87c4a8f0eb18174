/**
 * Waiting for the other end of FIFOs of the HOST: hundreds at once, none in a thread of ours.
 * The kernel waits (sys/iouring.ts); where it may not, and beyond a bound, it is looked every
 * few milliseconds, for no event tells that somebody waits in open(2).
 */
import type { Loop } from "../../../bridge/loop.ts";
import { cstring } from "../../../sys/cstring.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import { E } from "../../../sys/errno.ts";
import { ERESTARTSYS, OpenRing } from "../../../sys/iouring.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat,
  setNonBlocking,
} from "../../../sys/open.ts";
import { drainEventfd, eventfd } from "../../../sys/poll.ts";

/** Opens that the kernel waits in, each in a thread of its own. */
const ASYNC_OPENS_MAX = 256;
/** From one look to the next where the kernel does not wait: at first, and in the end. */
const LOOK_FIRST_MS = 2;
const LOOK_LAST_MS = 50;
/** Of those that wait so many, the newest, are looked at when something else has happened. */
const SETTLED_MAX = 16;
const INTERRUPTED: ReadonlySet<number> = new Set([E.EINTR, ERESTARTSYS, E.EAGAIN]);

/** Something that is waited for. */
export interface Wait {
  /**
   * Waits no more; `over` is called once nothing of it is open any more, or `done` was called:
   * whether somebody came meanwhile, if that is known.
   */
  cancel(over: (came: boolean | undefined) => void): void;
}

interface AsyncOpen {
  readonly path: string;
  readonly flags: number;
  readonly done: (result: number) => void;
  cancelled: ((came: boolean) => void) | undefined;
  /** Looks whether somebody is there, though the thread that waits does not know yet. */
  readonly look: () => void;
}

export class Partners {
  readonly #loop: Loop;
  #ring: OpenRing | undefined;
  #eventFd = -1;
  #next = 1;
  readonly #opens = new Map<number, AsyncOpen>();
  /** Where the kernel does not wait for us. */
  readonly #looks = new Set<() => void>();
  #unhook: (() => void) | undefined;

  /** `allowed`: whether io_uring is to be used if it can be. */
  constructor(loop: Loop, allowed = true) {
    this.#loop = loop;
    if (allowed) this.#begin();
  }

  /** Whether the kernel waits for us. */
  get isAsync(): boolean {
    return this.#ring !== undefined;
  }

  /** Opens that the kernel waits in. */
  get size(): number {
    return this.#opens.size;
  }

  #begin(): void {
    const event = eventfd();
    if (event < 0) return;
    const ring = OpenRing.make(ASYNC_OPENS_MAX * 2, event);
    if (typeof ring === "number") {
      close(event);
      return;
    }
    this.#ring = ring;
    this.#eventFd = event;
    this.#loop.add(event, EPOLLIN, this);
  }

  close(): void {
    this.#ring?.close();
    if (this.#eventFd >= 0) {
      this.#loop.remove(this.#eventFd);
      close(this.#eventFd);
    }
    this.#unhook?.();
    this.#ring = undefined;
    this.#eventFd = -1;
  }

  onEvents(): void {
    drainEventfd(this.#eventFd);
    this.#ring?.reap((number, result) => this.#over(number, result));
    this.#hook();
  }

  /** While anybody is waited for, and only then, it is looked before other things are told. */
  #hook(): void {
    if (this.#opens.size + this.#looks.size > 0) {
      this.#unhook ??= this.#loop.afterSleep(() => this.#settle());
      return;
    }
    this.#unhook?.();
    this.#unhook = undefined;
  }

  /**
   * Something has happened, perhaps by a process that has gone on because of an open(2) of ours
   * whose thread in the kernel has not: that is told first, so that nothing overtakes it.
   */
  #settle(): void {
    for (const look of [...this.#looks].slice(-SETTLED_MAX)) look();
    const newest = [...this.#opens.values()].slice(-SETTLED_MAX);
    for (const { cancelled, look } of newest) if (cancelled === undefined) look();
  }

  /**
   * Calls `done` once somebody has the FIFO at `path` open for writing, or has had since this
   * began; `look` says whether somebody has now, or has been there. `early` is called while the kernel
   * waits: it may know before, and cancel that.
   */
  forWriter(path: string, look: () => boolean, early: () => void, done: () => void): Wait {
    const flags = O_RDONLY | O_CLOEXEC;
    const ended = (result: number) => {
      if (result >= 0) close(result);
      done();
    };
    return (
      this.#open(path, flags, early, ended) ??
      this.#looking(() => {
        const came = look();
        if (came) done();
        return came;
      })
    );
  }

  /**
   * Calls `done` with a descriptor for writing, not blocking, or -errno, once somebody reads; or
   * `early` with one while the kernel waits, which is to be cancelled then.
   */
  forReader(path: string, early: (fd: number) => void, done: (fd: number) => void): Wait {
    const opened = (fd: number) => {
      if (fd >= 0) setNonBlocking(fd, true);
      done(fd);
    };
    return (
      this.#open(path, O_WRONLY | O_CLOEXEC, () => tryOpen(path, early), opened) ??
      this.#looking(() => tryOpen(path, done))
    );
  }

  #open(
    path: string,
    flags: number,
    look: () => void,
    done: (result: number) => void,
  ): Wait | undefined {
    const open = { path, flags, done, cancelled: undefined, look };
    const number = this.#submit(open);
    if (number === 0) return undefined;
    this.#hook();
    return {
      cancel: (over) => {
        const open = this.#opens.get(number);
        if (open === undefined) return over(true);
        open.cancelled = over;
        this.#ring?.cancel(number);
      },
    };
  }

  /** Number of the open, or 0. */
  #submit(open: AsyncOpen, number = this.#next): number {
    if (this.#ring === undefined || this.#opens.size >= ASYNC_OPENS_MAX) return 0;
    if (this.#ring.open(cstring(open.path), open.flags, number) < 0) return 0;
    this.#opens.set(number, open);
    if (number === this.#next) this.#next = (this.#next % 0x7fff_ffff) + 1;
    return number;
  }

  #over(number: number, result: number): void {
    const open = this.#opens.get(number);
    if (open === undefined) return;
    this.#opens.delete(number);
    if (open.cancelled !== undefined) {
      if (result >= 0) close(result);
      open.cancelled(result >= 0);
    } else if (!INTERRUPTED.has(-result) || this.#submit(open, number) === 0) open.done(result);
  }

  /** Calls `look` now and then until it is true. */
  #looking(look: () => boolean): Wait {
    let stop = () => {};
    let ms = LOOK_FIRST_MS;
    const end = () => {
      stop();
      this.#looks.delete(now);
      this.#hook();
    };
    const now = () => {
      if (look()) end();
    };
    const later = () => {
      stop = this.#loop.after(ms, () => {
        ms = Math.min(ms * 2, LOOK_LAST_MS);
        later();
        now();
      });
    };
    later();
    this.#looks.add(now);
    this.#hook();
    return {
      cancel: (over) => {
        end();
        over(undefined);
      },
    };
  }
}

/** Opens the FIFO for writing if somebody reads: whether `done` was called. */
function tryOpen(path: string, done: (fd: number) => void): boolean {
  const fd = openat(AT_FDCWD, cstring(path), O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd === -E.ENXIO) return false;
  done(fd);
  return true;
}

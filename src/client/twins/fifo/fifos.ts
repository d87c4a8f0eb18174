/** All FIFOs that processes here have open, as the twin process serves them. */
import type { FifoLine } from "../../../bridge/fifoline.ts";
import { processOf } from "../../../bridge/holders.ts";
import type { Loop } from "../../../bridge/loop.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import {
  IN_CLOSE_NOWRITE,
  IN_CLOSE_WRITE,
  IN_MODIFY,
  IN_OPEN,
  INOTIFY_EVENT,
  INOTIFY_EVENT_STRUCT_SIZE,
  inotifyInit,
  inotifyRemoveWatch,
} from "../../../sys/inotify.ts";
import { read } from "../../../sys/io.ts";
import { allocate } from "../../../sys/memory.ts";
import { keyOf, type Node } from "../channel.ts";
import type { FifoToTwins } from "../fifomessages.ts";
import { Fifo } from "./fifo.ts";
import type { FifoWorld } from "./parts.ts";

/** Who opens a FIFO and closes it. */
const OPENS_AND_CLOSES = IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE;
const EVENTS_BYTES = 64 * 1024;
const NONE = -1;

/** Where a FIFO is on the mount. */
export interface FifoPlace {
  readonly channel: number;
  readonly node: Node;
}

/** A FIFO that is open here, or about to be. */
export type FifoFigures = FifoPlace & Fifo["figures"];

/** What serves the FIFOs: the twin process. */
export interface FifoHost {
  readonly loop: Loop;
  /** Opens the FIFO with O_* `flags`: a descriptor or -errno. */
  open(place: FifoPlace, flags: number, done: (fd: number) => void): void;
  /** Has `inotifyFd` tell `mask` of it: the watch or -errno, and how holders.ts calls the inode. */
  watch(
    place: FifoPlace,
    inotifyFd: number,
    mask: number,
    done: (wd: number, inode?: string) => void,
  ): void;
  /** Opens a stream to the HOST's FIFO, whose handler is `line`; `line.onReset` where it cannot be had. */
  connect(place: FifoPlace, line: FifoLine): void;
  let(id: number): void;
  hold(): () => void;
  log(text: string): void;
}

interface Served {
  readonly fifo: Fifo;
  readonly place: FifoPlace;
  wd: number;
  inode: string | undefined;
  /** Whether `wd` and `inode` are yet to be known. */
  isPlacing: boolean;
}

const events = allocate(EVENTS_BYTES);

export class ServedFifos {
  readonly #host: FifoHost;
  readonly #served = new Map<string, Served>();
  readonly #watches = new Map<number, Served>();
  #inotify = NONE;

  constructor(host: FifoHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#served.size;
  }

  get figures(): FifoFigures[] {
    return [...this.#served.values()].map(({ fifo, place }) => ({ ...place, ...fifo.figures }));
  }

  /** A thread is about to open one. */
  opens(message: FifoToTwins): void {
    const { id, channel, node, tid, text, reads, writes, waits, unknown } = message;
    const pid = processOf(tid);
    if (pid === 0) {
      this.#host.let(id);
      return;
    }
    const served = this.#served.get(keyOf(node)) ?? this.#begin({ channel, node });
    served.fifo.opens({ id, tid, pid, text, reads, writes, waits, unknown });
  }

  /** Lets go of all, or of those of a channel. */
  leave(channel?: number): void {
    for (const served of [...this.#served.values()]) {
      if (channel !== undefined && served.place.channel !== channel) continue;
      served.fifo.close();
      this.#over(served);
    }
  }

  #begin(place: FifoPlace): Served {
    const { loop } = this.#host;
    const world: FifoWorld = {
      loop,
      open: (flags, done) => this.#host.open(place, flags, done),
      connect: (line) => this.#host.connect(place, line),
      let: (id) => this.#host.let(id),
      hold: () => this.#host.hold(),
      hush: () => this.#hear(served.wd),
      inode: () => served.inode,
      isPlacing: () => served.isPlacing,
      watchWrites: () => this.#watch(served, OPENS_AND_CLOSES | IN_MODIFY),
      log: (text) => this.#host.log(text),
      over: () => this.#over(served),
    };
    const fifo = new Fifo(world);
    const served: Served = { fifo, place, wd: NONE, inode: undefined, isPlacing: true };
    this.#served.set(keyOf(place.node), served);
    this.#watch(served, OPENS_AND_CLOSES);
    return served;
  }

  #watch(served: Served, mask: number): void {
    if (this.#inotify === NONE) {
      this.#inotify = inotifyInit();
      if (this.#inotify >= 0) this.#host.loop.add(this.#inotify, EPOLLIN, this);
    }
    if (this.#inotify < 0) {
      served.isPlacing = false;
      return;
    }
    this.#host.watch(served.place, this.#inotify, mask, (wd, inode) => {
      served.isPlacing = false;
      if (wd < 0) {
        served.fifo.placed();
        return;
      }
      if (this.#served.get(keyOf(served.place.node)) !== served) {
        // It is over already, or another one of the same inode has come, whose watch this is.
        if (!this.#watches.has(wd)) inotifyRemoveWatch(this.#inotify, wd);
        return;
      }
      served.wd = wd;
      served.inode = inode;
      this.#watches.set(wd, served);
      served.fifo.placed();
    });
  }

  #over(served: Served): void {
    this.#served.delete(keyOf(served.place.node));
    if (served.wd < 0) return;
    this.#watches.delete(served.wd);
    inotifyRemoveWatch(this.#inotify, served.wd);
  }

  onEvents(): void {
    this.#hear(NONE);
  }

  /** Takes what inotify has told; of watch `hushed` it is of our own making. */
  #hear(hushed: number): void {
    for (;;) {
      const got = read(this.#inotify, events.address, events.size);
      if (got <= 0) return;
      for (let at = 0; at < got; ) {
        const wd = events.view.getInt32(at + INOTIFY_EVENT.wd, true);
        const mask = events.view.getUint32(at + INOTIFY_EVENT.mask, true);
        at += INOTIFY_EVENT_STRUCT_SIZE + events.view.getUint32(at + INOTIFY_EVENT.len, true);
        const served = this.#watches.get(wd);
        if (served !== undefined && wd !== hushed) this.#tell(served.fifo, mask);
      }
    }
  }

  #tell(fifo: Fifo, mask: number): void {
    if ((mask & IN_OPEN) !== 0) fifo.opened();
    if ((mask & IN_CLOSE_WRITE) !== 0) fifo.closed(true);
    if ((mask & IN_CLOSE_NOWRITE) !== 0) fifo.closed(false);
    if ((mask & IN_MODIFY) !== 0) fifo.written();
  }
}

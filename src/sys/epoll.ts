/** epoll(7), for sets of descriptors too large to be given to the kernel at each wait. */
import { ARCH_EPOLL_EVENT } from "./arch.ts";
import { eventsToAsk, lanes, prepareLanes } from "./lanes.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({
  epoll_create1: { args: [i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, addr], returns: i32 },
  epoll_wait: { args: [i32, addr, i32, i32], returns: i32 },
});

// linux/eventpoll.h
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x1;
export const EPOLLPRI = 0x2;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
/** Told once for each change, not for as long as it lasts. */
export const EPOLLET = 0x8000_0000;
export const EPOLL_CLOEXEC = 0o2000000;

/** struct epoll_event, which differs between machines (arch.ts). */
export const EPOLL_EVENT = ARCH_EPOLL_EVENT;
export const EPOLL_EVENT_STRUCT_SIZE = ARCH_EPOLL_EVENT.size;

/** Descriptors on which something has happened, found in one wait. */
const BATCH = 64;

/**
 * Descriptors that are waited for, each with a number of its owner's and a
 * generation that tells it from an earlier one of the same number.
 */
export class Epoll {
  readonly fd: number;
  readonly #one = allocate(EPOLL_EVENT_STRUCT_SIZE);
  readonly #ready = allocate(BATCH * EPOLL_EVENT_STRUCT_SIZE);

  /** Throws a sentence where the kernel has no room for a set. */
  constructor() {
    this.fd = orErrno(c.epoll_create1(EPOLL_CLOEXEC));
    if (this.fd < 0) throw new Error(`Cannot make an epoll set: errno ${-this.fd}`);
  }

  /** Waits for EPOLL* `events` of `fd` from now on, as number `data` (32 bits); 0 or -errno. */
  add(fd: number, data: number, events = EPOLLIN, generation = 0): number {
    return this.#control(EPOLL_CTL_ADD, fd, data, events, generation);
  }

  /** Waits for other events of `fd`; 0 or -errno. */
  modify(fd: number, data: number, events: number, generation = 0): number {
    return this.#control(EPOLL_CTL_MOD, fd, data, events, generation);
  }

  /** Waits for `fd` no more; 0 or -errno. */
  remove(fd: number): number {
    return orErrno(c.epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.#one.address));
  }

  #control(call: number, fd: number, data: number, events: number, generation: number): number {
    const { view, address } = this.#one;
    view.setUint32(EPOLL_EVENT.events, eventsToAsk(fd, events), true);
    view.setUint32(EPOLL_EVENT.data, data, true);
    view.setUint32(EPOLL_EVENT.data + 4, generation, true);
    return orErrno(c.epoll_ctl(this.fd, call, fd, address));
  }

  /** How many are ready now, at most a batch; their numbers are had by `data`. */
  poll(): number {
    return this.wait(0);
  }

  /** The same after at most `timeoutMs` (-1: for ever), or -errno. */
  wait(timeoutMs: number): number {
    if (lanes.size > 0) prepareLanes(timeoutMs);
    return orErrno(c.epoll_wait(this.fd, this.#ready.address, BATCH, timeoutMs));
  }

  /** Number of the `index`th that the last wait found. */
  data(index: number): number {
    return this.#ready.view.getUint32(index * EPOLL_EVENT_STRUCT_SIZE + EPOLL_EVENT.data, true);
  }

  /** Its generation. */
  generation(index: number): number {
    const at = index * EPOLL_EVENT_STRUCT_SIZE + EPOLL_EVENT.data + 4;
    return this.#ready.view.getUint32(at, true);
  }

  /** EPOLL* bits of what has happened to it. */
  events(index: number): number {
    return this.#ready.view.getUint32(index * EPOLL_EVENT_STRUCT_SIZE + EPOLL_EVENT.events, true);
  }
}

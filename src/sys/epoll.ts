/** epoll(7), for sets of descriptors too large to be given to the kernel at each wait. */
import { ARCH } from "./arch.ts";
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
export const EPOLLIN = 1;
export const EPOLL_CLOEXEC = 0o2000000;

/** struct epoll_event: events u32, data u64; packed on x86-64 (EPOLL_PACKED). */
export const EPOLL_EVENT = { events: 0, data: ARCH === "x64" ? 4 : 8 } as const;
export const EPOLL_EVENT_STRUCT_SIZE = ARCH === "x64" ? 12 : 16;

/** Descriptors that became readable, found in one wait. */
const BATCH = 64;

/** Descriptors that are waited for until they are readable, each with a number of its owner's. */
export class Epoll {
  readonly fd: number;
  readonly #one = allocate(EPOLL_EVENT_STRUCT_SIZE);
  readonly #ready = allocate(BATCH * EPOLL_EVENT_STRUCT_SIZE);

  /** Throws a sentence where the kernel has no room for a set. */
  constructor() {
    this.fd = orErrno(c.epoll_create1(EPOLL_CLOEXEC));
    if (this.fd < 0) throw new Error(`Cannot make an epoll set: errno ${-this.fd}`);
  }

  /** Waits for `fd` from now on, as number `data` (32 bits); 0 or -errno. */
  add(fd: number, data: number): number {
    const { view, address } = this.#one;
    view.setUint32(EPOLL_EVENT.events, EPOLLIN, true);
    view.setUint32(EPOLL_EVENT.data, data, true);
    view.setUint32(EPOLL_EVENT.data + 4, 0, true);
    return orErrno(c.epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, address));
  }

  /** Waits for `fd` no more; 0 or -errno. */
  remove(fd: number): number {
    return orErrno(c.epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.#one.address));
  }

  /** How many are readable now, at most a batch; their numbers are had by `data`. */
  poll(): number {
    return orErrno(c.epoll_wait(this.fd, this.#ready.address, BATCH, 0));
  }

  /** Number of the `index`th that the last poll found. */
  data(index: number): number {
    return this.#ready.view.getUint32(index * EPOLL_EVENT_STRUCT_SIZE + EPOLL_EVENT.data, true);
  }
}

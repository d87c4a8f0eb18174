/** Waiting for descriptors, and waking another thread through one. */
import { eventsToAsk, lanes, prepareLanes } from "./lanes.ts";
import { addr, i32, i64, libc, orErrno, u32, u64 } from "./libc.ts";
import { allocate, putWord64 } from "./memory.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./open.ts";

const c = libc({
  poll: { args: [addr, u64, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  read: { args: [i32, addr, u64], returns: i64 },
  write: { args: [i32, addr, u64], returns: i64 },
  sched_yield: { args: [], returns: i32 },
});

// asm-generic/poll.h
export const POLLIN = 0x0001;
export const POLLPRI = 0x0002;
export const POLLOUT = 0x0004;
export const POLLERR = 0x0008;
export const POLLHUP = 0x0010;
export const POLLNVAL = 0x0020;
export const POLLRDNORM = 0x0040;
export const POLLRDBAND = 0x0080;
export const POLLWRNORM = 0x0100;
export const POLLWRBAND = 0x0200;
export const POLLRDHUP = 0x2000;

// linux/eventfd.h
export const EFD_SEMAPHORE = 1;
export const EFD_NONBLOCK = O_NONBLOCK;
export const EFD_CLOEXEC = O_CLOEXEC;

/** struct pollfd: fd i32, events i16, revents i16. */
export const POLLFD = { fd: 0, events: 4, revents: 6 } as const;
export const POLLFD_STRUCT_SIZE = 8;

/** A set of descriptors for poll(2); filled anew or kept from one wait to the next. */
export class PollSet {
  private readonly address: number;
  private readonly fds: Int32Array;
  private readonly events: Int16Array;
  private readonly capacity: number;
  private count = 0;

  constructor(capacity: number) {
    const region = allocate(capacity * POLLFD_STRUCT_SIZE);
    const buffer = region.view.buffer;
    this.address = region.address;
    this.fds = new Int32Array(buffer, 0, capacity * 2);
    this.events = new Int16Array(buffer, 0, capacity * 4);
    this.capacity = capacity;
  }

  /** Forgets all descriptors. */
  clear(): void {
    this.count = 0;
  }

  /** Adds `fd` (a negative one is skipped by the kernel); returns its index in the set. */
  add(fd: number, events: number): number {
    if (this.count === this.capacity) {
      throw new RangeError(`A poll set of ${this.capacity} descriptors is full`);
    }
    const index = this.count++;
    this.fds[index * 2] = fd;
    this.events[index * 4 + POLLFD.events / 2] = eventsToAsk(fd, events);
    this.events[index * 4 + POLLFD.revents / 2] = 0;
    return index;
  }

  /** What the last wait found at `index`: POLL* bits. */
  revents(index: number): number {
    return this.events[index * 4 + POLLFD.revents / 2] ?? 0;
  }

  /** Whether there may be something to read or room to write at `index`: of a lane nobody knows. */
  mayBeReady(index: number): boolean {
    return lanes.size > 0 || this.revents(index) !== 0;
  }

  /** poll(2) for at most `timeoutMs` (-1: for ever): ready descriptors, 0, or -errno. */
  wait(timeoutMs: number): number {
    if (lanes.size > 0) prepareLanes(timeoutMs);
    return orErrno(c.poll(this.address, this.count, timeoutMs));
  }
}

/** The u64 1 that is written, and the u64 that is read. */
const counters = allocate(16);
putWord64(counters.words, 0, 1);

/** eventfd(2), closed on exec and non-blocking unless `flags` say otherwise; or -errno. */
export function eventfd(flags = EFD_NONBLOCK): number {
  return orErrno(c.eventfd(0, flags | EFD_CLOEXEC));
}

/** Makes the eventfd readable. Returns 8 or -errno. */
export function signalEventfd(fd: number): number {
  return orErrno(c.write(fd, counters.address, 8));
}

/** Makes the eventfd quiet again: 8, or -EAGAIN if nobody had signalled it. */
export function drainEventfd(fd: number): number {
  return orErrno(c.read(fd, counters.address + 8, 8));
}

/** sched_yield(2): lets the other runnable threads of this core go first. */
export function schedYield(): number {
  return orErrno(c.sched_yield());
}

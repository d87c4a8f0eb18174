/**
 * io_uring(7) for one purpose: calls of open(2) that may wait for long, of which there may be
 * hundreds without a thread of ours each. The kernel runs each in a worker thread of its own
 * (IOSQE_ASYNC: tried at once it would be tried with O_NONBLOCK, io_uring/openclose.c).
 */
import { SYS } from "./arch.ts";
import { E } from "./errno.ts";
import { addr, i32, i64, libc, orErrno, u64 } from "./libc.ts";
import { allocate, putWord64, type Region, regionAt } from "./memory.ts";
import { AT_FDCWD, close } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({ mmap: { args: [addr, u64, i32, i32, i32, i64], returns: i64 } });

// linux/io_uring.h
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_OPENAT = 18;
export const IOSQE_ASYNC = 1 << 4;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x1000_0000;
export const IORING_REGISTER_EVENTFD = 4;
export const IORING_REGISTER_IOWQ_MAX_WORKERS = 19;

/** struct io_uring_params: what io_uring_setup(2) is asked for and tells. */
export const IO_URING_PARAMS = {
  sqEntries: 0,
  cqEntries: 4,
  flags: 8,
  features: 20,
  sqOff: 40,
  cqOff: 80,
} as const;
export const IO_URING_PARAMS_STRUCT_SIZE = 120;
/** struct io_sqring_offsets: offsets within the mapped ring. */
export const IO_SQRING_OFFSETS = { head: 0, tail: 4, ringMask: 8, array: 24 } as const;
/** struct io_cqring_offsets. */
export const IO_CQRING_OFFSETS = { head: 0, tail: 4, ringMask: 8, cqes: 20 } as const;
/** struct io_uring_sqe; `len` is the mode and `openFlags` the flags of an open. */
export const IO_URING_SQE = {
  opcode: 0,
  flags: 1,
  fd: 4,
  addr: 16,
  len: 24,
  openFlags: 28,
  userData: 32,
} as const;
export const IO_URING_SQE_STRUCT_SIZE = 64;
/** struct io_uring_cqe. */
export const IO_URING_CQE = { userData: 0, res: 8 } as const;
export const IO_URING_CQE_STRUCT_SIZE = 16;

const PROT_READ_WRITE = 0x3;
const MAP_SHARED_POPULATE = 0x8001;
/** What a wait ends with that was interrupted (linux/errno.h): no program sees it but through a ring. */
export const ERESTARTSYS = 512;
/** Number of a cancellation's own completion: nobody waits for it. */
const NOBODY = 0;

const params = allocate(IO_URING_PARAMS_STRUCT_SIZE);
const workers = allocate(8);

function mapRing(fd: number, size: number, offset: number): Region | number {
  const address = orErrno(c.mmap(0, size, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset));
  return address < 0 ? address : regionAt(address, size);
}

export class OpenRing {
  /** Of the ring. */
  readonly fd: number;
  readonly #ring: Int32Array;
  readonly #sqes: Region;
  readonly #head: number;
  readonly #tail: number;
  readonly #mask: number;
  readonly #array: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;

  private constructor(fd: number, ring: Region, sqes: Region) {
    const at = (field: number) => params.view.getUint32(field, true) / 4;
    this.fd = fd;
    this.#ring = new Int32Array(ring.view.buffer, 0, ring.size / 4);
    this.#sqes = sqes;
    const { sqOff, cqOff } = IO_URING_PARAMS;
    this.#head = at(sqOff + IO_SQRING_OFFSETS.head);
    this.#tail = at(sqOff + IO_SQRING_OFFSETS.tail);
    this.#mask = this.#ring[at(sqOff + IO_SQRING_OFFSETS.ringMask)] as number;
    this.#array = at(sqOff + IO_SQRING_OFFSETS.array);
    this.#cqHead = at(cqOff + IO_CQRING_OFFSETS.head);
    this.#cqTail = at(cqOff + IO_CQRING_OFFSETS.tail);
    this.#cqMask = this.#ring[at(cqOff + IO_CQRING_OFFSETS.ringMask)] as number;
    this.#cqes = at(cqOff + IO_CQRING_OFFSETS.cqes);
  }

  /**
   * A ring for up to `opens` calls that wait, which makes `eventFd` readable with each that
   * is over; or -errno (-EPERM: kernel.io_uring_disabled or a seccomp filter, -ENOSYS).
   */
  static make(opens: number, eventFd: number): OpenRing | number {
    params.bytes.fill(0);
    params.view.setUint32(IO_URING_PARAMS.flags, IORING_SETUP_CLAMP, true);
    const fd = rawSyscall(SYS.io_uring_setup, opens, params.address);
    if (fd < 0) return fd;
    const ring = OpenRing.#map(fd);
    const result = typeof ring === "number" ? ring : ring.#prepare(opens, eventFd);
    if (typeof ring === "number" || result < 0) {
      close(fd);
      return result;
    }
    return ring;
  }

  static #map(fd: number): OpenRing | number {
    const { view } = params;
    const features = view.getUint32(IO_URING_PARAMS.features, true);
    if ((features & IORING_FEAT_SINGLE_MMAP) === 0) return -E.ENOSYS;
    const entries = view.getUint32(IO_URING_PARAMS.sqEntries, true);
    const completions = view.getUint32(IO_URING_PARAMS.cqEntries, true);
    const array = view.getUint32(IO_URING_PARAMS.sqOff + IO_SQRING_OFFSETS.array, true);
    const cqes = view.getUint32(IO_URING_PARAMS.cqOff + IO_CQRING_OFFSETS.cqes, true);
    const size = Math.max(array + entries * 4, cqes + completions * IO_URING_CQE_STRUCT_SIZE);
    const ring = mapRing(fd, size, IORING_OFF_SQ_RING);
    if (typeof ring === "number") return ring;
    const sqes = mapRing(fd, entries * IO_URING_SQE_STRUCT_SIZE, IORING_OFF_SQES);
    return typeof sqes === "number" ? sqes : new OpenRing(fd, ring, sqes);
  }

  #prepare(opens: number, eventFd: number): number {
    workers.words[0] = eventFd;
    const heard = this.#register(IORING_REGISTER_EVENTFD, 1);
    if (heard < 0) return heard;
    // One worker for each that waits: io-wq has 4 a core without.
    workers.words[0] = opens;
    workers.words[1] = opens;
    return this.#register(IORING_REGISTER_IOWQ_MAX_WORKERS, 2);
  }

  #register(what: number, count: number): number {
    return rawSyscall(SYS.io_uring_register, this.fd, what, workers.address, count);
  }

  /**
   * Begins open(2) of `path` (address of a C string, good until this returns) with `flags`;
   * `number`, from 1, tells its completion. 0 or -errno (-EAGAIN: try again later).
   */
  open(path: number, flags: number, number: number): number {
    return this.#submit(number, (view, at) => {
      view.setUint8(at + IO_URING_SQE.opcode, IORING_OP_OPENAT);
      view.setUint8(at + IO_URING_SQE.flags, IOSQE_ASYNC);
      view.setInt32(at + IO_URING_SQE.fd, AT_FDCWD, true);
      putWord64(this.#sqes.words, (at + IO_URING_SQE.addr) / 4, path);
      view.setUint32(at + IO_URING_SQE.openFlags, flags, true);
    });
  }

  /** Has the open of that number end with EINTR, ERESTARTSYS or ECANCELED, if it still waits; 0 or -errno. */
  cancel(number: number): number {
    return this.#submit(NOBODY, (view, at) => {
      view.setUint8(at + IO_URING_SQE.opcode, IORING_OP_ASYNC_CANCEL);
      view.setInt32(at + IO_URING_SQE.fd, -1, true);
      putWord64(this.#sqes.words, (at + IO_URING_SQE.addr) / 4, number);
    });
  }

  /** Tells all opens that are over: a descriptor or -errno each. */
  reap(over: (number: number, result: number) => void): void {
    const ring = this.#ring;
    let head = ring[this.#cqHead] as number;
    while (head !== Atomics.load(ring, this.#cqTail)) {
      const at = this.#cqes + ((head & this.#cqMask) * IO_URING_CQE_STRUCT_SIZE) / 4;
      const number = ring[at + IO_URING_CQE.userData / 4] as number;
      const result = ring[at + IO_URING_CQE.res / 4] as number;
      head = (head + 1) | 0;
      Atomics.store(ring, this.#cqHead, head);
      if (number !== NOBODY) over(number, result);
    }
  }

  /** Ends all that wait. */
  close(): void {
    close(this.fd);
  }

  #submit(number: number, fill: (view: DataView, at: number) => void): number {
    const ring = this.#ring;
    const tail = ring[this.#tail] as number;
    if (((tail - Atomics.load(ring, this.#head)) | 0) > this.#mask) return -E.EAGAIN;
    const index = tail & this.#mask;
    const at = index * IO_URING_SQE_STRUCT_SIZE;
    this.#sqes.bytes.fill(0, at, at + IO_URING_SQE_STRUCT_SIZE);
    fill(this.#sqes.view, at);
    putWord64(this.#sqes.words, (at + IO_URING_SQE.userData) / 4, number);
    ring[this.#array + index] = index;
    Atomics.store(ring, this.#tail, (tail + 1) | 0);
    const entered = rawSyscall(SYS.io_uring_enter, this.fd, 1);
    if (entered === 1) return 0;
    // What was not taken would be taken with the next: it is withdrawn.
    Atomics.store(ring, this.#tail, tail);
    return entered < 0 ? entered : -E.EAGAIN;
  }
}

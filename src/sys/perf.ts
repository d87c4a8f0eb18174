/** perf_event_open(2), as far as a tracepoint of the kernel is to wake a thread. */
import { SYS } from "./arch.ts";
import { ioctl } from "./ioctl.ts";
import { addr, i32, i64, libc, orErrno, u64 } from "./libc.ts";
import { allocate, putWord64, type Region, regionAt } from "./memory.ts";
import { close } from "./open.ts";
import { getPageSize } from "./process.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({ mmap: { args: [addr, u64, i32, i32, i32, i64], returns: i64 } });

/** struct perf_event_attr, up to the fields that are set (linux/perf_event.h). */
export const PERF_EVENT_ATTR = {
  type: 0,
  size: 4,
  config: 8,
  sample_period: 16,
  sample_type: 24,
  wakeup_events: 48,
} as const;
/** PERF_ATTR_SIZE_VER1: kernels take every size that they have known. */
export const PERF_EVENT_ATTR_SIZE = 72;
/** struct perf_event_mmap_page: where the ring is written next, and where it was read to. */
export const PERF_MMAP_PAGE = { data_head: 1024, data_tail: 1032 } as const;
/** struct perf_event_header of a record; pid and tid follow where PERF_SAMPLE_TID is asked for. */
export const PERF_EVENT_HEADER = { type: 0, size: 6 } as const;
const PID_AT = 8;

const PERF_TYPE_TRACEPOINT = 2;
const PERF_SAMPLE_TID = 2;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_RECORD_SAMPLE = 9;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x1;
const PAGE = getPageSize();
/** The page that says how far the ring is, and the ring. */
const MAPPED = 2 * PAGE;

const attributes = allocate(PERF_EVENT_ATTR_SIZE);

/** Who passes a tracepoint on one CPU: a descriptor that is readable once somebody did. */
export class PerfRing {
  readonly fd: number;
  readonly #memory: Region;

  private constructor(fd: number, address: number) {
    this.fd = fd;
    this.#memory = regionAt(address, MAPPED);
  }

  /** On `cpu`, tracepoint number `id` (its file `id` in tracefs); or -errno. */
  static open(id: number, cpu: number): PerfRing | number {
    const { view, words } = attributes;
    view.setUint32(PERF_EVENT_ATTR.type, PERF_TYPE_TRACEPOINT, true);
    view.setUint32(PERF_EVENT_ATTR.size, PERF_EVENT_ATTR_SIZE, true);
    putWord64(words, PERF_EVENT_ATTR.config / 4, id);
    putWord64(words, PERF_EVENT_ATTR.sample_period / 4, 1);
    putWord64(words, PERF_EVENT_ATTR.sample_type / 4, PERF_SAMPLE_TID);
    view.setUint32(PERF_EVENT_ATTR.wakeup_events, 1, true);
    const { address } = attributes;
    const fd = rawSyscall(SYS.perf_event_open, address, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) return fd;
    const mapped = orErrno(c.mmap(0, MAPPED, PROT_READ_WRITE, MAP_SHARED, fd, 0));
    const result = mapped < 0 ? mapped : ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
    if (result >= 0) return new PerfRing(fd, mapped);
    close(fd);
    return result;
  }

  /**
   * Processes that passed since the last call. False if some were lost, for want of
   * room in the ring.
   */
  take(pids: Set<number>): boolean {
    const { view } = this.#memory;
    const head = Number(view.getBigUint64(PERF_MMAP_PAGE.data_head, true));
    let at = Number(view.getBigUint64(PERF_MMAP_PAGE.data_tail, true));
    let isComplete = true;
    while (at < head) {
      // A record is a multiple of 8 bytes, and may go on at the ring's beginning.
      const word = (offset: number) => view.getUint32(PAGE + ((at + offset) % PAGE), true);
      if (word(PERF_EVENT_HEADER.type) === PERF_RECORD_SAMPLE) pids.add(word(PID_AT));
      else isComplete = false;
      at += Math.max(8, view.getUint16(PAGE + ((at + PERF_EVENT_HEADER.size) % PAGE), true));
    }
    view.setBigUint64(PERF_MMAP_PAGE.data_tail, BigInt(head), true);
    return isComplete;
  }
}

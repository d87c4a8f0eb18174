/** INIT: what the kernel and we agree on. */
import { MAX_PAGES, TRANSFER_MAX } from "../fuse/device.ts";
import {
  INIT_IN,
  INIT_OUT,
  INIT_OUT_SIZE,
  InitBit,
  KERNEL_MINOR_OLDEST,
  KERNEL_MINOR_VERSION,
  KERNEL_VERSION,
} from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import { put64 } from "./answers.ts";
import type { Client } from "./client.ts";
import { mayCacheLinks } from "./forward/links.ts";
import { Head } from "./record.ts";

/** Requests that nobody waits for (readahead, writeback) that may be under way at once. */
const BACKGROUND_MAX = 64;
const READAHEAD_BYTES = 1024 * 1024;

/** Flags that are asked for where the kernel offers them; all pay on every mount. */
const WANTED: readonly number[] = [
  InitBit.ASYNC_READ,
  InitBit.POSIX_LOCKS,
  InitBit.ATOMIC_O_TRUNC,
  InitBit.EXPORT_SUPPORT,
  InitBit.BIG_WRITES,
  InitBit.DONT_MASK,
  InitBit.FLOCK_LOCKS,
  InitBit.HAS_IOCTL_DIR,
  InitBit.DO_READDIRPLUS,
  InitBit.READDIRPLUS_AUTO,
  InitBit.ASYNC_DIO,
  InitBit.PARALLEL_DIROPS,
  InitBit.POSIX_ACL,
  InitBit.MAX_PAGES,
  InitBit.HANDLE_KILLPRIV_V2,
  InitBit.SETXATTR_EXT,
  InitBit.INIT_EXT,
  InitBit.CREATE_SUPP_GROUP,
  InitBit.DIRECT_IO_ALLOW_MMAP,
  InitBit.HAS_RESEND,
];

function mask(bits: readonly number[], from: number): number {
  return bits.reduce(
    (sum, bit) => (bit >= from && bit < from + 32 ? sum | (1 << (bit - from)) : sum),
    0,
  );
}

/** Answers INIT; a sentence when the kernel is too old, else undefined. */
export function answerInit(c: Client): string | undefined {
  const minor = c.u32(INIT_IN.minor);
  if (c.u32(INIT_IN.major) !== KERNEL_VERSION || minor < KERNEL_MINOR_OLDEST) {
    c.answerNow(E.EPROTO);
    return `kernel speaks FUSE ${c.u32(INIT_IN.major)}.${minor}, but ${KERNEL_VERSION}.${KERNEL_MINOR_OLDEST} (Linux 5.15) is needed`;
  }
  const bits = mayCacheLinks(c, c.fuse.uniqueHigh) ? [...WANTED, InitBit.CACHE_SYMLINKS] : WANTED;
  const { view } = c.fuse.answer;
  const at = c.answerBody;
  for (let i = 0; i < INIT_OUT_SIZE; i += 8) put64(view, at + i, 0);
  view.setUint32(at + INIT_OUT.major, KERNEL_VERSION, true);
  view.setUint32(at + INIT_OUT.minor, Math.min(minor, KERNEL_MINOR_VERSION), true);
  view.setUint32(at + INIT_OUT.max_readahead, READAHEAD_BYTES, true);
  view.setUint32(at + INIT_OUT.flags, (c.u32(INIT_IN.flags) & mask(bits, 0)) >>> 0, true);
  view.setUint32(at + INIT_OUT.flags2, (c.u32(INIT_IN.flags2) & mask(bits, 32)) >>> 0, true);
  view.setUint16(at + INIT_OUT.max_background, BACKGROUND_MAX, true);
  view.setUint16(at + INIT_OUT.congestion_threshold, (BACKGROUND_MAX * 3) / 4, true);
  view.setUint32(at + INIT_OUT.max_write, TRANSFER_MAX, true);
  view.setUint32(at + INIT_OUT.time_gran, 1, true);
  view.setUint16(at + INIT_OUT.max_pages, MAX_PAGES, true);
  const resends = (c.u32(INIT_IN.flags2) & mask([InitBit.HAS_RESEND], 32)) !== 0;
  c.record.set(Head.RESENDS, resends ? 1 : 0);
  c.record.set(Head.MINOR, minor);
  c.answerBodyNow(INIT_OUT_SIZE);
  return undefined;
}

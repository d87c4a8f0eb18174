/**
 * What a thread that waits in a system call is opening a FIFO for, from /proc/<tid>/syscall
 * (proc(5)): the number, six arguments, stack pointer and program counter, in hexadecimal.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { type Arch, tables } from "../../../sys/arch.ts";
import { O_ACCMODE, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY } from "../../../sys/open.ts";

/** What a FIFO is opened for. */
export interface OpenCall {
  readonly reads: boolean;
  readonly writes: boolean;
  /** Whether it waits for the other end. */
  readonly waits: boolean;
  /** What it is opened for cannot be seen: an open by io_uring. */
  readonly unknown: boolean;
}

/** In which argument the flags are; those of openat2 are where that one points to. */
type Calls = Readonly<Record<number, { flags: number; indirect?: boolean; implied?: number }>>;

const OPENAT2 = { flags: 2, indirect: true };
const COMMON = { 437: OPENAT2 } as const;
/** By the size of the caller's words. arm64 has neither open(2) nor creat(2). */
const CALLS: Readonly<Record<Arch, Readonly<Record<32 | 64, Calls>>>> = {
  x64: {
    // asm/unistd_64.h: open, creat, openat, open_by_handle_at
    64: {
      ...COMMON,
      2: { flags: 1 },
      85: { flags: 0, implied: O_WRONLY },
      257: { flags: 2 },
      304: { flags: 2 },
    },
    // asm/unistd_32.h
    32: {
      ...COMMON,
      5: { flags: 1 },
      8: { flags: 0, implied: O_WRONLY },
      295: { flags: 2 },
      342: { flags: 2 },
    },
  },
  arm64: {
    // asm-generic/unistd.h
    64: { ...COMMON, 56: { flags: 2 }, 265: { flags: 2 } },
    // arch/arm64/include/asm/unistd32.h
    32: {
      ...COMMON,
      5: { flags: 1 },
      8: { flags: 0, implied: O_WRONLY },
      322: { flags: 2 },
      371: { flags: 2 },
    },
  },
};
const FOUR_GIB = 0x1_0000_0000;
/** Arguments are behind the number; the stack pointer is behind them. */
const FIRST_ARGUMENT = 1;
const STACK_POINTER = 7;
/** A thread that has not gone to sleep yet is "running". */
const ATTEMPTS = 50;
const UNKNOWN: OpenCall = { reads: true, writes: true, waits: true, unknown: true };

/** Text of /proc/<tid>/syscall once the thread waits, "" where it cannot be had. */
export function callText(tid: number, attempts = ATTEMPTS): string {
  try {
    let text = "";
    for (let attempt = 0; attempt < attempts; attempt++) {
      text = readFileSync(`/proc/${tid}/syscall`, "latin1").trim();
      if (text !== "running") break;
    }
    return text;
  } catch {
    return "";
  }
}

/**
 * What `text` of thread `tid` opens; undefined where it opens nothing (stat, access, O_PATH).
 * `flagsAt` reads the flags that an argument of openat2(2) points to.
 */
export function openCall(
  text: string,
  arch: Arch,
  flagsAt: (address: number) => number | undefined,
): OpenCall | undefined {
  const parts = text.split(" ").map(Number);
  const number = parts[0];
  if (number === undefined || !Number.isInteger(number)) return undefined;
  // A kernel's thread that works for an io_uring, or a call to one.
  if (number < 0 || number === tables[arch].io_uring_enter) return UNKNOWN;
  const isWide = (parts[STACK_POINTER] ?? 0) >= FOUR_GIB;
  const call = CALLS[arch][isWide ? 64 : 32][number];
  if (call === undefined) return undefined;
  const argument = parts[FIRST_ARGUMENT + call.flags] ?? 0;
  const flags = call.implied ?? (call.indirect ? flagsAt(argument) : argument % FOUR_GIB);
  return flags === undefined ? UNKNOWN : ofFlags(flags);
}

function ofFlags(flags: number): OpenCall | undefined {
  if ((flags & O_PATH) !== 0) return undefined;
  const mode = flags & O_ACCMODE;
  const reads = mode === O_RDONLY || mode === O_RDWR;
  const writes = mode === O_WRONLY || mode === O_RDWR;
  // 3 opens it for ioctls alone (open(2)); the kernel's fifo_open refuses that.
  if (!reads && !writes) return undefined;
  return { reads, writes, waits: (flags & O_NONBLOCK) === 0 && mode !== O_RDWR, unknown: false };
}

/** The lower half of the u64 at `address` of the thread's memory. */
export function flagsOf(tid: number, address: number): number | undefined {
  const bytes = new Uint8Array(4);
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${tid}/mem`, "r");
    if (readSync(fd, bytes, 0, 4, address) !== 4) return undefined;
    return new DataView(bytes.buffer).getUint32(0, true);
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

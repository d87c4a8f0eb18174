/**
 * seccomp(2) with user notification (seccomp_unotify(2)): a filter that hands chosen system
 * calls of a program to another process, which lets them go on or answers them itself.
 */
import { ARCH, type Arch, SYS } from "./arch.ts";
import { i32, libc, orErrno, u32, u64 } from "./libc.ts";
import { allocate, putWord64, type Region } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";

// linux/seccomp.h
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
/** Linux 5.19: once a call was received, only a fatal signal interrupts it. */
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32;
export const SECCOMP_RET_ALLOW = 0x7fff_0000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc0_0000;
export const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
export const SECCOMP_ADDFD_FLAG_SEND = 2;
export const SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100;
export const SECCOMP_IOCTL_NOTIF_SEND = 0xc018_2101;
export const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x4008_2102;
export const SECCOMP_IOCTL_NOTIF_ADDFD = 0x4018_2103;

/** Linux 6.6, kept apart because Debian 12's headers have none of it. */
const SET_FLAGS = 0x4008_2104;
const FD_SYNC_WAKE_UP = 1;

/** struct seccomp_data of linux/seccomp.h: nr i32, arch u32, instruction_pointer u64, args u64 each. */
export const SECCOMP_DATA = { nr: 0, arch: 4, instruction_pointer: 8, args: 16 } as const;
/** struct seccomp_notif: id u64, pid u32 (a thread's), flags u32, data. */
export const SECCOMP_NOTIF = { id: 0, pid: 8, flags: 12, data: 16 } as const;
export const SECCOMP_NOTIF_STRUCT_SIZE = 80;
/** struct seccomp_notif_resp: id u64, val i64, error i32 (negative), flags u32. */
export const SECCOMP_NOTIF_RESP = { id: 0, val: 8, error: 16, flags: 20 } as const;
export const SECCOMP_NOTIF_RESP_STRUCT_SIZE = 24;
/** struct seccomp_notif_addfd: id u64, the others u32. */
export const SECCOMP_NOTIF_ADDFD = {
  id: 0,
  flags: 8,
  srcfd: 12,
  newfd: 16,
  newfd_flags: 20,
} as const;
export const SECCOMP_NOTIF_ADDFD_STRUCT_SIZE = 24;

// linux/bpf_common.h: load a word at an absolute offset, jump where equal, return a constant
export const BPF_LD_W_ABS = 0x20;
export const BPF_JMP_JEQ_K = 0x15;
export const BPF_RET_K = 0x06;
/** struct sock_filter of linux/filter.h: code u16, jt u8, jf u8, k u32. */
export const SOCK_FILTER = { code: 0, jt: 2, jf: 3, k: 4 } as const;
export const SOCK_FILTER_STRUCT_SIZE = 8;
/** struct sock_fprog: len u16, then the address of the program. */
export const SOCK_FPROG = { len: 0, filter: 8 } as const;
export const SOCK_FPROG_STRUCT_SIZE = 16;

// linux/audit.h
export const AUDIT_ARCH_X86_64 = 0xc000_003e;
export const AUDIT_ARCH_AARCH64 = 0xc000_00b7;

const AUDIT_ARCH: Readonly<Record<Arch, number>> = {
  x64: AUDIT_ARCH_X86_64,
  arm64: AUDIT_ARCH_AARCH64,
};

/** Calls that one filter may name: a jump reaches 255 instructions. */
export const NOTIFIED_MAX = 200;

/** An instruction: code, jumps for true and false, constant. */
type Instruction = readonly [code: number, jt: number, jf: number, k: number];

/** A notified call that is allowed all the same where the lower half of an argument is `value`. */
export interface Exception {
  readonly nr: number;
  readonly argument: number;
  readonly value: number;
}

/**
 * The filter: the calls of those numbers are notified, all others are allowed, and so is what
 * a program of another machine's interface does (i386 on x86-64).
 */
export function notifyingProgram(
  numbers: readonly number[],
  exception: Exception,
  arch: Arch = ARCH,
): Instruction[] {
  if (numbers.length > NOTIFIED_MAX) throw new RangeError("A filter of too many calls");
  const count = numbers.length;
  const { nr, argument, value } = exception;
  return [
    [BPF_LD_W_ABS, 0, 0, SECCOMP_DATA.arch],
    [BPF_JMP_JEQ_K, 0, count + 1, AUDIT_ARCH[arch]],
    [BPF_LD_W_ABS, 0, 0, SECCOMP_DATA.nr],
    ...numbers.map((one, i): Instruction => [BPF_JMP_JEQ_K, count - i, 0, one]),
    [BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW],
    [BPF_JMP_JEQ_K, 0, 2, nr],
    [BPF_LD_W_ABS, 0, 0, SECCOMP_DATA.args + 8 * argument],
    [BPF_JMP_JEQ_K, 1, 0, value],
    [BPF_RET_K, 0, 0, SECCOMP_RET_USER_NOTIF],
    [BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW],
  ];
}

/** A filter as the kernel takes it (struct sock_fprog): its address. It is never freed. */
export function notifyingFilter(numbers: readonly number[], exception: Exception): number {
  const program = notifyingProgram(numbers, exception);
  const region = allocate(SOCK_FPROG_STRUCT_SIZE + program.length * SOCK_FILTER_STRUCT_SIZE);
  const { view, address } = region;
  view.setUint16(SOCK_FPROG.len, program.length, true);
  putWord64(region.words, SOCK_FPROG.filter / 4, address + SOCK_FPROG_STRUCT_SIZE);
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    const at = SOCK_FPROG_STRUCT_SIZE + i * SOCK_FILTER_STRUCT_SIZE;
    view.setUint16(at + SOCK_FILTER.code, code, true);
    view.setUint8(at + SOCK_FILTER.jt, jt);
    view.setUint8(at + SOCK_FILTER.jf, jf);
    view.setUint32(at + SOCK_FILTER.k, k, true);
  }
  return address;
}

/**
 * Sets the filter (notifyingFilter) for the calling thread, and for what it starts. Returns the
 * descriptor of the listener, closed on exec, or -errno: EINVAL before Linux 5.19, EACCES without
 * CAP_SYS_ADMIN, EBUSY where the thread has a listener already.
 */
export function notifyCalls(filter: number): number {
  const flags =
    SECCOMP_FILTER_FLAG_NEW_LISTENER |
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV |
    // No program is to run slower for this filter, which protects nothing.
    SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  return rawSyscall(SYS.seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
}

const c = libc({ ioctl: { args: [i32, u64, u64], returns: i32 } });
const flagsOnly = libc({ ioctl: { args: [i32, u64, u32], returns: i32 } });

/**
 * Has the caller and whoever answers it share a processor: a call costs a third of what it
 * costs otherwise. Kernels before 6.6 do not know it.
 */
export function wakeInStep(listener: number): void {
  flagsOnly.ioctl(listener, SET_FLAGS, FD_SYNC_WAKE_UP);
}

/** A call that was received, in memory of ours; the fields as they are in struct seccomp_notif. */
export class Notification {
  readonly #region: Region;
  readonly #answer = allocate(SECCOMP_NOTIF_RESP_STRUCT_SIZE);
  readonly #listener: number;

  /** `region`: SECCOMP_NOTIF_STRUCT_SIZE bytes at least, its first ones used. */
  constructor(listener: number, region: Region) {
    this.#listener = listener;
    this.#region = region;
  }

  /**
   * Waits for a call: 0 or -errno. ENOENT: its caller is gone, or (Linux 6.11) all are; EINTR.
   */
  receive(): number {
    this.forget();
    return orErrno(c.ioctl(this.#listener, SECCOMP_IOCTL_NOTIF_RECV, this.#region.address));
  }

  /** Whether there is one that was not answered. */
  get isOpen(): boolean {
    return this.tid !== 0;
  }

  /** The kernel wants zeros where it writes the next one. */
  forget(): void {
    this.#region.bytes.fill(0, 0, SECCOMP_NOTIF_STRUCT_SIZE);
  }

  /** The calling thread, as this process's PID namespace numbers it. */
  get tid(): number {
    return this.#region.words[SECCOMP_NOTIF.pid / 4] as number;
  }

  /** Number of the system call. */
  get nr(): number {
    return this.#region.words[(SECCOMP_NOTIF.data + SECCOMP_DATA.nr) / 4] as number;
  }

  /** Lower half of argument `i`: flags, descriptors (a u32). */
  arg32(i: number): number {
    return this.#region.words[(SECCOMP_NOTIF.data + SECCOMP_DATA.args) / 4 + 2 * i] as number;
  }

  /** Argument `i` as an address. */
  address(i: number): number {
    const at = (SECCOMP_NOTIF.data + SECCOMP_DATA.args) / 4 + 2 * i;
    const { words } = this.#region;
    return (words[at] as number) + (words[at + 1] as number) * 2 ** 32;
  }

  /** Whether the caller waits still: what was read by its number was read of nobody else. */
  isValid(): boolean {
    return c.ioctl(this.#listener, SECCOMP_IOCTL_NOTIF_ID_VALID, this.#region.address) === 0;
  }

  /** Lets the kernel carry the call out. Returns 0 or -errno (ENOENT: the caller is gone). */
  letGoOn(): number {
    return this.#send(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
  }

  /** Answers with a result or -errno. Returns 0 or -errno. */
  answer(result: number): number {
    return result < 0 ? this.#send(0, result, 0) : this.#send(result, 0, 0);
  }

  /**
   * Gives the caller a duplicate of `fd` and answers with its number there, in one step.
   * Returns that or -errno; `newFdFlags`: O_CLOEXEC or 0.
   */
  answerWithFd(fd: number, newFdFlags: number): number {
    const { words, view, address } = this.#answer;
    words.fill(0);
    this.#putId();
    view.setUint32(SECCOMP_NOTIF_ADDFD.flags, SECCOMP_ADDFD_FLAG_SEND, true);
    view.setUint32(SECCOMP_NOTIF_ADDFD.srcfd, fd, true);
    view.setUint32(SECCOMP_NOTIF_ADDFD.newfd_flags, newFdFlags, true);
    return orErrno(c.ioctl(this.#listener, SECCOMP_IOCTL_NOTIF_ADDFD, address));
  }

  #send(result: number, error: number, flags: number): number {
    const { words, view, address } = this.#answer;
    this.#putId();
    putWord64(words, SECCOMP_NOTIF_RESP.val / 4, result);
    view.setInt32(SECCOMP_NOTIF_RESP.error, error, true);
    view.setUint32(SECCOMP_NOTIF_RESP.flags, flags, true);
    return orErrno(c.ioctl(this.#listener, SECCOMP_IOCTL_NOTIF_SEND, address));
  }

  #putId(): void {
    this.#answer.words[0] = this.#region.words[0] as number;
    this.#answer.words[1] = this.#region.words[1] as number;
  }
}

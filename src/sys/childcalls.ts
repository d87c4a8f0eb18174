/**
 * A list of system calls that a new process carries out before it executes a program.
 *
 * posix_spawn(3) cannot do all that is wanted between the two (cgroups, users, limits), and
 * JavaScript cannot run in a child of a process with threads. So the child runs a few
 * instructions that go through the list. As for posix_spawn(3) it shares the memory of the
 * thread that made it (CLONE_VM of clone(2)): nothing is copied, and what a call returned can be
 * read here. The thread waits until the child executes or exits, when the kernel clears a word
 * (CLONE_CHILD_CLEARTID), and not as vfork(2) does, for ever: the child may open what a file
 * system of some user's has to answer for, such as a script's interpreter.
 */
import { CFunction, type Pointer } from "bun:ffi";
import { ARCH, type Arch, SYS } from "./arch.ts";
import { E } from "./errno.ts";
import { i64 } from "./libc.ts";
import { makeCode } from "./machinecode.ts";
import { allocate, putWord64, type Region } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";
import { SIGCHLD, SIGKILL } from "./signals.ts";

// linux/sched.h, asm-generic/signal-defs.h
const CLONE_VM = 0x100;
const CLONE_CHILD_CLEARTID = 0x20_0000;
const SIG_SETMASK = 2;
// linux/futex.h, linux/wait.h
const FUTEX_WAIT = 0;
const WNOHANG = 1;

/** A call in the list: number, six arguments, and a word: its mask before, its result after. */
const CALL_BYTES = 64;
const CALL_WORDS = CALL_BYTES / 4;
const RESULT = 56;
/** Upper word of a mask: the list ends where a result has one of its bits, for which there is the sign's. */
const SIGN = 0x8000_0000;
/** linux/err.h of the kernel: MAX_ERRNO */
const ERRNO_MAX = 4095n;

/** `(flags, list, word)`: the child's process id or -errno; the stack of both is the caller's, which the child leaves alone. */
export const CHILD_CODE: Readonly<Record<Arch, Uint8Array>> = {
  x64: Uint8Array.from(
    [
      [0x53], // push rbx
      [0x48, 0x89, 0xf3], // mov rbx, rsi
      [0x49, 0x89, 0xd2], // mov r10, rdx
      [0x31, 0xf6], // xor esi, esi
      [0x31, 0xd2], // xor edx, edx
      [0x45, 0x31, 0xc0], // xor r8d, r8d
      [0xb8, 0x38, 0, 0, 0], // mov eax, 56 (clone)
      [0x0f, 0x05], // syscall
      [0x85, 0xc0], // test eax, eax
      [0x74, 0x02], // je child
      [0x5b], // pop rbx
      [0xc3], // ret
      [0x48, 0x8b, 0x03], // child: mov rax, [rbx]
      [0x48, 0x8b, 0x7b, 0x08], // mov rdi, [rbx + 8]
      [0x48, 0x8b, 0x73, 0x10], // mov rsi, [rbx + 16]
      [0x48, 0x8b, 0x53, 0x18], // mov rdx, [rbx + 24]
      [0x4c, 0x8b, 0x53, 0x20], // mov r10, [rbx + 32]
      [0x4c, 0x8b, 0x43, 0x28], // mov r8, [rbx + 40]
      [0x4c, 0x8b, 0x4b, 0x30], // mov r9, [rbx + 48]
      [0x4c, 0x8b, 0x63, 0x38], // mov r12, [rbx + 56]
      [0x0f, 0x05], // syscall
      [0x48, 0x89, 0x43, 0x38], // mov [rbx + 56], rax
      [0x48, 0x83, 0xc3, 0x40], // add rbx, 64
      [0x4c, 0x85, 0xe0], // test rax, r12
      [0x79, 0xd2], // jns child
      [0xbf, 0x7f, 0, 0, 0], // mov edi, 127
      [0xb8, 0xe7, 0, 0, 0], // mov eax, 231 (exit_group)
      [0x0f, 0x05], // syscall
    ].flat(),
  ),
  arm64: new Uint8Array(
    Uint32Array.from([
      0xa9bf53f3, // stp x19, x20, [sp, #-16]!
      0xaa0103f3, // mov x19, x1
      0xaa0203e4, // mov x4, x2
      0xd2800001, // mov x1, #0
      0xd2800002, // mov x2, #0
      0xd2800003, // mov x3, #0
      0xd2801b88, // mov x8, #220 (clone)
      0xd4000001, // svc #0
      0xb4000060, // cbz x0, child
      0xa8c153f3, // ldp x19, x20, [sp], #16
      0xd65f03c0, // ret
      0xf9400268, // child: ldr x8, [x19]
      0xa9408660, // ldp x0, x1, [x19, #8]
      0xa9418e62, // ldp x2, x3, [x19, #24]
      0xa9429664, // ldp x4, x5, [x19, #40]
      0xf9401e74, // ldr x20, [x19, #56]
      0xd4000001, // svc #0
      0xf9001e60, // str x0, [x19, #56]
      0x91010273, // add x19, x19, #64
      0xea14001f, // tst x0, x20
      0x54fffee5, // b.pl child
      0xd2800fe0, // mov x0, #127
      0xd2800bc8, // mov x8, #94 (exit_group)
      0xd4000001, // svc #0
    ]).buffer,
  ),
};

type Entry = (flags: number, list: number, word: number) => number;
let entry: Entry | undefined;

function childCode(): Entry {
  if (entry !== undefined) return entry;
  const address = makeCode(CHILD_CODE[ARCH]);
  if (address < 0) throw new Error(`Cannot make code executable: errno ${-address}`);
  const call = CFunction({ ptr: address as Pointer, args: [i64, i64, i64], returns: i64 });
  entry = (flags, list, word) => Number(call(flags, list, word));
  return entry;
}

/** A call that failed, by its place in the list, and why. */
export interface FailedCall {
  readonly index: number;
  readonly errno: number;
}

/** Both sets of signals of rt_sigprocmask(2): all, and those that were blocked. */
const masks = allocate(16);
masks.bytes.fill(0xff, 0, 8);

/** What the kernel clears, and how long that is waited for (struct timespec). */
const RUNS = 0;
const BOUND = 8;
const WAITING_BYTES = 24;
let waiting = allocate(WAITING_BYTES);
/** Children that were given up, and have not ended yet. */
let stuck: number[] = [];

/** Whether the child has executed or exited within `boundMs`. */
function settles(boundMs: number): boolean {
  const endMs = performance.now() + boundMs;
  while (Atomics.load(waiting.words, RUNS) !== 0) {
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) return false;
    waiting.view.setBigInt64(BOUND, BigInt(Math.floor(leftMs / 1000)), true);
    waiting.view.setBigInt64(BOUND + 8, BigInt(Math.floor((leftMs % 1000) * 1e6)), true);
    rawSyscall(SYS.futex, waiting.address, FUTEX_WAIT, 1, waiting.address + BOUND);
  }
  return true;
}

export class CallList {
  readonly #region: Region;
  /** By their places: 1 where a failure changes nothing. */
  readonly #optional: Uint8Array;
  #count = 0;

  /** Of at most `max` calls. */
  constructor(max: number) {
    this.#optional = new Uint8Array(max);
    this.#region = allocate(max * CALL_BYTES);
  }

  get length(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Adds a call that ends the child where it fails. */
  add(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0): void {
    this.#put([nr, a0, a1, a2, a3, a4, 0], false);
  }

  /** Adds one whose failure changes nothing. */
  try(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0): void {
    this.#put([nr, a0, a1, a2, a3, 0, 0], true);
  }

  /**
   * Starts a process that carries them out, the last of which executes a program: its process
   * id; or what failed, and then there is no process; or the -errno of clone(2). One that has
   * not come to an end of this after `boundMs` is killed: the last has failed, ETIMEDOUT.
   */
  run(boundMs: number): number | FailedCall {
    const start = childCode();
    stuck = stuck.filter((pid) => rawSyscall(SYS.wait4, pid, 0, WNOHANG, 0) === 0);
    waiting.words[RUNS] = 1;
    rawSyscall(SYS.rt_sigprocmask, SIG_SETMASK, masks.address, masks.address + 8, 8);
    const flags = CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD;
    const pid = start(flags, this.#region.address, waiting.address);
    rawSyscall(SYS.rt_sigprocmask, SIG_SETMASK, masks.address + 8, 0, 8);
    if (pid < 0) return pid;
    if (!settles(boundMs)) return this.#giveUp(pid);
    const failed = this.#failed();
    if (failed !== undefined) rawSyscall(SYS.wait4, pid, 0, 0, 0);
    return failed ?? pid;
  }

  /** Its memory stays: the kernel may be at it still. */
  #giveUp(pid: number): FailedCall {
    rawSyscall(SYS.kill, pid, SIGKILL);
    stuck.push(pid);
    waiting = allocate(WAITING_BYTES);
    return { index: this.#count - 1, errno: E.ETIMEDOUT };
  }

  #put(words: readonly number[], isOptional: boolean): void {
    const index = this.#count++;
    if (index >= this.#optional.length) throw new RangeError("A list of system calls is full");
    this.#optional[index] = isOptional ? 1 : 0;
    const at = index * CALL_WORDS;
    const to = this.#region.words;
    for (let i = 0; i < words.length; i++) putWord64(to, at + 2 * i, words[i] as number);
    to[at + RESULT / 4] = 0;
    to[at + RESULT / 4 + 1] = isOptional ? 0 : SIGN;
  }

  /** The call that ended the child. Those behind it still have their masks as results. */
  #failed(): FailedCall | undefined {
    const { view } = this.#region;
    for (let index = 0; index < this.#count; index++) {
      const result = view.getBigInt64(index * CALL_BYTES + RESULT, true);
      const isError = result < 0n && result >= -ERRNO_MAX;
      if (isError && this.#optional[index] === 0) return { index, errno: Number(-result) };
    }
    return undefined;
  }
}

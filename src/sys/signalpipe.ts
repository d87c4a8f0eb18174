/**
 * Signals as bytes in a pipe, for a thread that sits in epoll_wait(2): the handler writes
 * the signal's number, whichever thread the kernel gives it to.
 *
 * A signalfd would need them blocked in every thread, and the runtime has threads of its
 * own; what JavaScript offers needs the runtime's event loop. A handler may do next to
 * nothing, so it is a few instructions of machine code: write(fd, &number, 1).
 */
import { ARCH, type Arch } from "./arch.ts";
import { pipe2 } from "./io.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { makeCode } from "./machinecode.ts";
import { allocate, putWord64 } from "./memory.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./open.ts";
import { getpid, kill, SIGACTION, SIGACTION_STRUCT_SIZE } from "./process.ts";

const c = libc({
  sigaction: { args: [i32, addr, addr], returns: i32 },
  sigprocmask: { args: [i32, addr, addr], returns: i32 },
});

// asm-generic/signal.h, asm-generic/signal-defs.h
const SA_RESTART = 0x1000_0000;
const SIG_DFL = 0;
const SIG_UNBLOCK = 1;

const action = allocate(SIGACTION_STRUCT_SIZE);
const before = allocate(SIGACTION_STRUCT_SIZE);
const set = allocate(128);

/** The handler's code: it writes its first argument's lowest byte to `fd`. */
export function handlerCode(fd: number, arch: Arch = ARCH): Uint8Array {
  if (arch === "x64") {
    const number = [fd & 0xff, (fd >> 8) & 0xff, (fd >> 16) & 0xff, (fd >> 24) & 0xff];
    return Uint8Array.from([
      0x57, // push rdi
      ...[0xbf, ...number], // mov edi, fd
      ...[0x48, 0x89, 0xe6], // mov rsi, rsp
      ...[0xba, 1, 0, 0, 0], // mov edx, 1
      ...[0xb8, 1, 0, 0, 0], // mov eax, SYS_write
      ...[0x0f, 0x05], // syscall
      0x5f, // pop rdi
      0xc3, // ret
    ]);
  }
  const words = [
    0xd10043ff, // sub sp, sp, #16
    0xf90003e0, // str x0, [sp]
    0x52800000 | ((fd & 0xffff) << 5), // mov w0, #fd (lower half)
    0x72a00000 | ((fd >>> 16) << 5), // movk w0, #fd (upper half), lsl #16
    0x910003e1, // mov x1, sp
    0xd2800022, // mov x2, #1
    0xd2800808, // mov x8, #SYS_write
    0xd4000001, // svc #0
    0x910043ff, // add sp, sp, #16
    0xd65f03c0, // ret
  ];
  return new Uint8Array(Uint32Array.from(words).buffer);
}

/** Installs `handler` (an address, SIG_DFL or SIG_IGN) for `signal`: 0 or -errno. */
function setHandler(signal: number, handler: number): number {
  action.bytes.fill(0);
  putWord64(action.words, SIGACTION.handler / 4, handler);
  action.view.setInt32(SIGACTION.flags, SA_RESTART, true);
  return orErrno(c.sigaction(signal, action.address, 0));
}

/** Gives `signal` its default action again, and lets it through. */
export function restoreDefault(signal: number): void {
  setHandler(signal, SIG_DFL);
  set.bytes.fill(0);
  set.view.setBigUint64(0, 1n << BigInt(signal - 1), true);
  c.sigprocmask(SIG_UNBLOCK, set.address, 0);
}

/** Has `signal` do to this process what it does by default, and is handled as before then. */
export function raiseDefault(signal: number): void {
  c.sigaction(signal, 0, before.address);
  setHandler(signal, SIG_DFL);
  kill(getpid(), signal);
  c.sigaction(signal, before.address, 0);
}

/** Has `signals` written to a pipe from now on; its end to be read, or -errno. */
export function openSignalPipe(signals: readonly number[]): number {
  const ends = pipe2(O_CLOEXEC | O_NONBLOCK);
  if (typeof ends === "number") return ends;
  const [readEnd, writeEnd] = ends;
  const handler = makeCode(handlerCode(writeEnd));
  if (handler < 0) return handler;
  for (const signal of signals) setHandler(signal, handler);
  return readEnd;
}

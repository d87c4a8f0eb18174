/** Terminals: their modes and sizes, and pseudoterminals (pty(7), tty_ioctl(4)). */
import { cstring } from "./cstring.ts";
import { ioctl } from "./ioctl.ts";
import { allocate } from "./memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDWR, openat } from "./open.ts";

// asm-generic/ioctls.h, the same on x86-64 and arm64
export const TCGETS2 = 0x802c_542a;
export const TCSETS2 = 0x402c_542b;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
export const TIOCPKT = 0x5420;
export const TIOCSPTLCK = 0x4004_5431;
export const TIOCGPTPEER = 0x5441;
export const TIOCGPTN = 0x8004_5430;
export const FIONREAD = 0x541b;

// asm-generic/ioctls.h: what a master in packet mode reads first; 0: data follows
export const TIOCPKT_DATA = 0;
export const TIOCPKT_IOCTL = 64;

/** struct termios2 (asm-generic/termbits.h). */
export const TERMIOS2 = {
  c_iflag: 0,
  c_oflag: 4,
  c_cflag: 8,
  c_lflag: 12,
  c_line: 16,
  c_cc: 17,
  c_ispeed: 36,
  c_ospeed: 40,
} as const;
export const TERMIOS2_STRUCT_SIZE = 44;

// asm-generic/termbits.h
export const EXTPROC = 0o200000;

/** struct winsize (asm-generic/termios.h): four u16. */
export const WINSIZE = { ws_row: 0, ws_col: 2, ws_xpixel: 4, ws_ypixel: 6 } as const;
export const WINSIZE_STRUCT_SIZE = 8;

const scratch = allocate(TERMIOS2_STRUCT_SIZE + 4);

/** Whether it is a terminal. */
export function isTerminal(fd: number): boolean {
  return ioctl(fd, TCGETS2, scratch.address) === 0;
}

/** A copy of its struct termios2, or -errno. */
export function terminalModes(fd: number): Uint8Array | number {
  const result = ioctl(fd, TCGETS2, scratch.address);
  return result < 0 ? result : Uint8Array.from(scratch.bytes.subarray(0, TERMIOS2_STRUCT_SIZE));
}

/** Sets them at once, without waiting for what is to be written. 0 or -errno. */
export function setTerminalModes(fd: number, modes: Uint8Array): number {
  scratch.bytes.set(modes.subarray(0, TERMIOS2_STRUCT_SIZE));
  return ioctl(fd, TCSETS2, scratch.address);
}

/** A copy of its struct winsize, or -errno. */
export function terminalSize(fd: number): Uint8Array | number {
  const result = ioctl(fd, TIOCGWINSZ, scratch.address);
  return result < 0 ? result : Uint8Array.from(scratch.bytes.subarray(0, WINSIZE_STRUCT_SIZE));
}

/** Sets it; who has it as the controlling terminal gets SIGWINCH if it is another one. */
export function setTerminalSize(fd: number, size: Uint8Array): number {
  scratch.bytes.set(size.subarray(0, WINSIZE_STRUCT_SIZE));
  return ioctl(fd, TIOCSWINSZ, scratch.address);
}

/**
 * A pseudoterminal: [master, slave] or -errno. The master does not wait and is in packet
 * mode (TIOCPKT: each read begins with a byte that says what it is); the slave is opened
 * with O_* `flags`.
 */
export function openPty(flags: number): [number, number] | number {
  const master = openat(
    AT_FDCWD,
    cstring("/dev/ptmx"),
    O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK,
    0,
  );
  if (master < 0) return master;
  scratch.view.setInt32(0, 0, true);
  ioctl(master, TIOCSPTLCK, scratch.address);
  const slave = peerOfPty(master, flags);
  scratch.view.setInt32(0, 1, true);
  const result = slave < 0 ? slave : ioctl(master, TIOCPKT, scratch.address);
  if (result >= 0) return [master, slave];
  if (slave >= 0) close(slave);
  close(master);
  return result;
}

/** Another descriptor of a master's slave, whatever is mounted at /dev/pts; or -errno. */
export function peerOfPty(master: number, flags: number): number {
  // Its argument is no address.
  return ioctl(master, TIOCGPTPEER, flags | O_NOCTTY | O_CLOEXEC);
}

/**
 * The master of a new pseudoterminal, which does not wait, and the path by which /dev/pts has
 * its slave; or -errno.
 */
export function openMaster(): { master: number; path: string } | number {
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK;
  const master = openat(AT_FDCWD, cstring("/dev/ptmx"), flags, 0);
  if (master < 0) return master;
  scratch.view.setInt32(0, 0, true);
  let result = ioctl(master, TIOCSPTLCK, scratch.address);
  if (result >= 0) result = ioctl(master, TIOCGPTN, scratch.address);
  if (result >= 0) return { master, path: `/dev/pts/${scratch.view.getInt32(0, true)}` };
  close(master);
  return result;
}

// asm-generic/termbits.h
const INPUT_MODES = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
const OPOST = 0o1;
const LINE_MODES = 0o1 | 0o2 | 0o10 | 0o100 | 0o100000;
const [CSIZE, PARENB, CS8] = [0o60, 0o400, 0o60];
const [VTIME, VMIN] = [5, 6];

/** `modes` as cfmakeraw(3) makes them: every byte as it is typed, nothing done to what is shown. */
export function rawModes(modes: Uint8Array): Uint8Array {
  const raw = Uint8Array.from(modes);
  const view = new DataView(raw.buffer);
  const clear = (at: number, bits: number) =>
    view.setUint32(at, view.getUint32(at, true) & ~bits, true);
  clear(TERMIOS2.c_iflag, INPUT_MODES);
  clear(TERMIOS2.c_oflag, OPOST);
  clear(TERMIOS2.c_lflag, LINE_MODES);
  clear(TERMIOS2.c_cflag, CSIZE | PARENB);
  view.setUint32(TERMIOS2.c_cflag, view.getUint32(TERMIOS2.c_cflag, true) | CS8, true);
  raw[TERMIOS2.c_cc + VMIN] = 1;
  raw[TERMIOS2.c_cc + VTIME] = 0;
  return raw;
}

/** FIONREAD: bytes that can be read, of a pipe at either end; 0 where it cannot be told. */
export function unreadBytes(fd: number): number {
  const result = ioctl(fd, FIONREAD, scratch.address);
  return result < 0 ? 0 : scratch.view.getInt32(0, true);
}

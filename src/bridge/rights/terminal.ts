/**
 * Terminals that are passed. The receiver gets a pseudoterminal of its own machine, whose
 * master is joined to the real terminal by a stream: what is typed goes to it as the real
 * terminal gives it, what programs write goes to the real one.
 *
 * The modes are the program's to set, at the pseudoterminal. With EXTPROC that does no line
 * editing itself and tells its master of each change (TIOCPKT_IOCTL, tty_ioctl(4)); the
 * real terminal is set to the same, so what is typed is worked on once, there. The
 * size of the window comes from the real terminal: when it is passed, before data of the
 * connection that it was passed over, and when something is typed or written.
 */
import type { Stream } from "../../session/stream.ts";
import { EPOLLHUP } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { IoVec, read, readv } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { setNonBlocking } from "../../sys/open.ts";
import {
  EXTPROC,
  openPty,
  peerOfPty,
  setTerminalModes,
  setTerminalSize,
  TERMIOS2,
  TERMIOS2_STRUCT_SIZE,
  TIOCPKT_DATA,
  TIOCPKT_IOCTL,
  terminalModes,
  terminalSize,
  WINSIZE_STRUCT_SIZE,
} from "../../sys/terminal.ts";
import { OpenFlag } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { OutOfBand } from "../../wire/streams.ts";
import type { Loop } from "../loop.ts";
import { Port, Shape } from "../port.ts";
import { BytePump } from "../pumpbytes.ts";
import type { Arriving } from "./bridged.ts";
import { flagsOfPassed } from "./flags.ts";

/** First byte of a TERMINAL message; a struct winsize or termios2 follows. */
const Told = { SIZE: 0, MODES: 1 } as const;

function message(what: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(what, ...bytes);
}

function checked(bytes: unknown, length: number): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === length) return bytes;
  throw new ProtocolError("a terminal that is described wrongly");
}

function withExtproc(modes: Uint8Array, on: boolean): Uint8Array {
  const changed = Uint8Array.from(modes);
  const view = new DataView(changed.buffer);
  const flags = view.getUint32(TERMIOS2.c_lflag, true);
  view.setUint32(TERMIOS2.c_lflag, on ? flags | EXTPROC : flags & ~EXTPROC, true);
  return changed;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** What a stream to a terminal is opened with: modes and size; or -errno. */
export function describeTerminal(fd: number): [Buffer, Buffer] | number {
  const modes = terminalModes(fd);
  if (typeof modes === "number") return modes;
  const size = terminalSize(fd);
  return typeof size === "number" ? size : [Buffer.from(modes), Buffer.from(size)];
}

/** The real terminal; an end of file that is typed (0 bytes) is not its end. */
class RealPort extends Port {
  /** It has hung up. */
  isGone = false;

  constructor(fd: number) {
    super(fd, Shape.TERMINAL);
  }

  override read(address: number, max: number): number {
    const got = read(this.fd, address, max);
    if (got === -E.EIO) return 0;
    return got === 0 && !this.isGone ? -E.EAGAIN : got;
  }
}

/** The real terminal's end. */
export class TerminalSource extends BytePump {
  readonly #port: RealPort;
  #size: Uint8Array;

  /** Owns `fd`, which must not wait; `size` is what the peer has been told. */
  constructor(loop: Loop, fd: number, size: Uint8Array, ended: () => void) {
    const port = new RealPort(fd);
    super({
      loop,
      port,
      ended,
      peer: "a terminal that was passed",
      terminal: (bytes) => this.#told(bytes),
    });
    this.#port = port;
    this.#size = size;
  }

  override onEvents(events: number): void {
    if ((events & EPOLLHUP) !== 0) this.#port.isGone = true;
    this.refresh();
    super.onEvents(events);
  }

  override onData(stream: Stream, bytes: Uint8Array, address: number): void {
    this.refresh();
    super.onData(stream, bytes, address);
  }

  /** Tells the peer if the window has another size. */
  refresh(): void {
    if (this.isClosed) return;
    const size = terminalSize(this.#port.fd);
    if (typeof size === "number" || same(size, this.#size)) return;
    this.#size = size;
    this.tell(OutOfBand.TERMINAL, message(Told.SIZE, size));
  }

  #told(bytes: Uint8Array): void {
    if (bytes[0] !== Told.MODES) throw new ProtocolError("a terminal is told of what it says");
    const wanted = withExtproc(checked(bytes.subarray(1), TERMIOS2_STRUCT_SIZE), false);
    const modes = terminalModes(this.#port.fd);
    if (typeof modes !== "number" && !same(modes, wanted)) {
      setTerminalModes(this.#port.fd, wanted);
    }
  }
}

/** The status byte before what is read from a master. */
const status = allocate(8);
const parts = new IoVec(2);

/** A master in packet mode. */
class MasterPort extends Port {
  /** Programs have set modes. */
  hasChanged = false;

  constructor(fd: number) {
    super(fd, Shape.TERMINAL);
  }

  override read(address: number, max: number): number {
    parts.set(0, status.address, 1);
    parts.set(1, address, max);
    const got = readv(this.fd, parts.address, 2);
    // Nobody has the terminal open any more.
    if (got <= 0) return got === -E.EIO ? 0 : got;
    const what = status.bytes[0] ?? 0;
    if (what === TIOCPKT_DATA && got > 1) return got - 1;
    if ((what & TIOCPKT_IOCTL) !== 0) this.hasChanged = true;
    return -E.EINTR;
  }
}

/** The pseudoterminal's end. */
export class TerminalMaster extends BytePump {
  readonly #port: MasterPort;
  #modes: Uint8Array;

  constructor(
    loop: Loop,
    master: number,
    modes: Uint8Array,
    size: Uint8Array,
    ended: (errno: number) => void,
  ) {
    const port = new MasterPort(master);
    super({
      loop,
      port,
      ended,
      peer: "a terminal that was passed",
      terminal: (bytes) => this.#told(bytes),
    });
    this.#port = port;
    this.#modes = modes;
    setTerminalModes(master, withExtproc(modes, true));
    setTerminalSize(master, size);
  }

  /** Another descriptor of the same terminal, opened with O_* `flags`; or -errno. */
  another(flags: number): number {
    return this.isClosed ? -E.EIO : peerOfPty(this.#port.fd, flags);
  }

  override onEvents(events: number): void {
    super.onEvents(events);
    this.#tellModes();
  }

  override onWritable(): void {
    super.onWritable();
    this.#tellModes();
  }

  #tellModes(): void {
    if (!this.#port.hasChanged || this.isClosed) return;
    this.#port.hasChanged = false;
    const modes = terminalModes(this.#port.fd);
    if (typeof modes === "number") return;
    // Without it changes are told no more, and lines are edited twice.
    const marked = withExtproc(modes, true);
    if (!same(modes, marked)) setTerminalModes(this.#port.fd, marked);
    const wanted = withExtproc(modes, false);
    if (same(wanted, this.#modes)) return;
    this.#modes = wanted;
    this.tell(OutOfBand.TERMINAL, message(Told.MODES, wanted));
  }

  #told(bytes: Uint8Array): void {
    if (bytes[0] !== Told.SIZE) throw new ProtocolError("a pseudoterminal is told of what it says");
    setTerminalSize(this.#port.fd, checked(bytes.subarray(1), WINSIZE_STRUCT_SIZE));
  }
}

/** Makes the pseudoterminal for one that is passed, or returns the errno that refuses it. */
export function arriveTerminal(
  loop: Loop,
  wire: number,
  [modes, size]: readonly unknown[],
  arriving: Arriving,
  ended: (errno: number) => void,
): TerminalMaster | number {
  const given = checked(modes, TERMIOS2_STRUCT_SIZE);
  const window = checked(size, WINSIZE_STRUCT_SIZE);
  const ends = openPty(flagsOfPassed(wire));
  if (typeof ends === "number") return -ends;
  const [master, slave] = ends;
  setNonBlocking(slave, (wire & OpenFlag.NONBLOCK) !== 0);
  const end = new TerminalMaster(loop, master, Uint8Array.from(given), window, ended);
  arriving.ready(slave);
  return end;
}

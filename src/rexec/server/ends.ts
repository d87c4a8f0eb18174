/**
 * The descriptors that a program is to have: a stream for each, joined to a pipe, a socket or
 * a terminal here, whose other end is the program's.
 */
import type { Loop } from "../../bridge/loop.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { E } from "../../sys/errno.ts";
import { pipe2 } from "../../sys/io.ts";
import { close, F_DUPFD_CLOEXEC, fcntlInt, O_CLOEXEC, setNonBlocking } from "../../sys/open.ts";
import { SOCK_STREAM, socketPair } from "../../sys/socket.ts";
import { unreadBytes } from "../../sys/terminal.ts";
import { PROGRAM_FD_MAX, PROGRAM_FDS_MAX } from "../../wire/limits.ts";
import { ProgramEnd } from "../../wire/streams.ts";

/** One of them: the program's end until it has been started, and the pump at ours. */
interface End {
  /** -1: it is the program's alone by now. */
  child: number;
  /** What it is told of how much was read of it. */
  readonly isFile: boolean;
  readonly pump: BytePump;
}

export class Ends {
  readonly #loop: Loop;
  readonly #ends = new Map<number, End>();
  /** Called when one has ended. */
  readonly #ended: () => void;
  #running = 0;
  /** Bytes that the program was given, and has written. */
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(loop: Loop, ended: () => void) {
    this.#loop = loop;
    this.#ended = ended;
  }

  /** Makes the descriptor for `stream`, the `place`th: who handles that, or an errno. */
  take(stream: Stream, place: number, kind: number, master: () => number): StreamHandler | number {
    if (place >= PROGRAM_FDS_MAX || this.#ends.has(place)) return E.EINVAL;
    const made = make(kind, master);
    if (typeof made === "number") return -made;
    const pump: BytePump = new BytePump({
      loop: this.#loop,
      fd: made.own,
      shape: made.shape,
      ended: () => {
        this.#running--;
        this.#bytesIn += pump.figures.written;
        this.#bytesOut += pump.figures.read;
        this.#ended();
      },
    });
    this.#running++;
    this.#ends.set(place, { child: made.child, isFile: kind === ProgramEnd.FILE_INPUT, pump });
    pump.start(stream);
    return pump;
  }

  /** The program's end of a place, or -1. */
  childFd(place: number): number {
    return this.#ends.get(place)?.child ?? -1;
  }

  /** The program has its ends: all that is kept here is what tells how much of a file was read. */
  started(): void {
    for (const end of this.#ends.values()) if (!end.isFile) closeChild(end);
  }

  /** It has ended: (place, bytes that it has read) of each file. */
  finished(): number[] {
    const read: number[] = [];
    for (const [place, end] of this.#ends) {
      if (!end.isFile || end.child < 0) continue;
      read.push(place, end.pump.figures.written - unreadBytes(end.child));
      closeChild(end);
      end.pump.close(E.EPIPE);
    }
    return read;
  }

  /** Whether all streams have ended. */
  get areOver(): boolean {
    return this.#running === 0;
  }

  get bytesIn(): number {
    return this.#bytesIn + this.#sum("written");
  }

  get bytesOut(): number {
    return this.#bytesOut + this.#sum("read");
  }

  #sum(what: "read" | "written"): number {
    let sum = 0;
    for (const { pump } of this.#ends.values()) if (!pump.isClosed) sum += pump.figures[what];
    return sum;
  }

  /** Gives up all of them. */
  close(errno: number): void {
    for (const end of this.#ends.values()) {
      closeChild(end);
      end.pump.close(errno);
    }
  }
}

function closeChild(end: End): void {
  if (end.child >= 0) close(end.child);
  end.child = -1;
}

interface Made {
  readonly own: number;
  readonly child: number;
  readonly shape: Shape;
}

/** Both ends of what is wanted, or -errno. */
function make(kind: number, master: () => number): Made | number {
  if (kind === ProgramEnd.SOCKET) return makeSocket();
  if (kind === ProgramEnd.KEYBOARD || kind === ProgramEnd.SCREEN) {
    const own = fcntlInt(master(), F_DUPFD_CLOEXEC, 0);
    const shape = kind === ProgramEnd.SCREEN ? Shape.TERMINAL_READER : Shape.WRITE_END;
    return own < 0 ? own : { own, child: -1, shape };
  }
  const isInput = kind === ProgramEnd.INPUT || kind === ProgramEnd.FILE_INPUT;
  if (!isInput && kind !== ProgramEnd.OUTPUT) return -E.EINVAL;
  const ends = pipe2(O_CLOEXEC);
  if (typeof ends === "number") return ends;
  const [own, child] = isInput ? [ends[1], ends[0]] : ends;
  setNonBlocking(own, true);
  return above({ own, child, shape: isInput ? Shape.WRITE_END : Shape.READ_END });
}

function makeSocket(): Made | number {
  const pair = socketPair(SOCK_STREAM);
  if (typeof pair === "number") return pair;
  const [own, child] = pair;
  // What the program has is its own description: it may wait.
  setNonBlocking(child, false);
  return above({ own, child, shape: Shape.SOCKET });
}

/** The program's end under a number that no descriptor of the program's can have. */
function above({ own, child, shape }: Made): Made | number {
  const moved = fcntlInt(child, F_DUPFD_CLOEXEC, PROGRAM_FD_MAX + 1);
  close(child);
  if (moved >= 0) return { own, child: moved, shape };
  close(own);
  return moved;
}

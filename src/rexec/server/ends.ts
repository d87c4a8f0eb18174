/**
 * The descriptors that a program is to have: a stream for each, joined to a pipe, a socket or
 * a terminal here, whose other end is the program's.
 */
import type { Loop } from "../../bridge/loop.ts";
import type { Pump } from "../../bridge/pump.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import { MessagePump } from "../../bridge/pumpmessages.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { E } from "../../sys/errno.ts";
import { pipe2 } from "../../sys/io.ts";
import { close, F_DUPFD_CLOEXEC, fcntlInt, O_CLOEXEC, setNonBlocking } from "../../sys/open.ts";
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, socketPair } from "../../sys/socket.ts";
import { unreadBytes } from "../../sys/terminal.ts";
import {
  PROGRAM_FD_MAX,
  PROGRAM_FDS_MAX,
  PROGRAM_PIPE_BYTES,
  PROGRAM_WINDOW_MAX,
} from "../../wire/limits.ts";
import { ProgramEnd } from "../../wire/streams.ts";
import { isListener, ProgramListener } from "./listener.ts";

/** One of them: the program's end until it has been started, and the pump at ours. */
interface End {
  /** -1: it is the program's alone by now. */
  child: number;
  readonly kind: number;
  readonly pump: Pump;
}

/** What is over with the program, though others may have it still. */
const ENDS_WITH_PROGRAM: ReadonlySet<number> = new Set([
  ProgramEnd.OUTPUT,
  ProgramEnd.SOCKET,
  ProgramEnd.PACKETS,
  ProgramEnd.DATAGRAMS,
]);

export class Ends {
  readonly #loop: Loop;
  readonly #ends = new Map<number, End>();
  readonly #listeners = new Map<number, ProgramListener>();
  /** The listening sockets themselves, until the program has them. */
  readonly #children = new Map<number, number>();
  /** Connections to listeners. */
  readonly #connections = new Set<Pump>();
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
    stream.windowMax = PROGRAM_WINDOW_MAX;
    if (kind === ProgramEnd.CONNECTION) return this.#connect(stream, place);
    const isTaken = this.#ends.has(place) || this.#listeners.has(place);
    if (place >= PROGRAM_FDS_MAX || isTaken) return E.EINVAL;
    if (isListener(kind)) return this.#listen(place, kind);
    const made = make(kind, master);
    if (typeof made === "number") return -made;
    const { type, own, child, shape } = made;
    const loop = this.#loop;
    const pipeBytes = PROGRAM_PIPE_BYTES;
    const pump: Pump =
      type === undefined
        ? new BytePump({ loop, fd: own, shape, pipeBytes, ended: () => this.#over(pump) })
        : new MessagePump({ loop, fd: own, type, ended: () => this.#over(pump) });
    this.#running++;
    this.#ends.set(place, { child, kind, pump });
    pump.start(stream);
    return pump;
  }

  #over(pump: Pump): void {
    this.#running--;
    this.#bytesIn += pump.figures.written;
    this.#bytesOut += pump.figures.read;
    this.#ended();
  }

  #listen(place: number, kind: number): StreamHandler | number {
    const listener = ProgramListener.make(kind);
    if (typeof listener === "number") return -listener;
    const child = aboveAll(listener.fd);
    if (child < 0) return -child;
    this.#listeners.set(place, listener);
    this.#children.set(place, child);
    return listener;
  }

  #connect(stream: Stream, place: number): StreamHandler | number {
    const fd = this.#listeners.get(place)?.connect() ?? -E.EINVAL;
    if (fd < 0) return -fd;
    const { SOCKET: shape } = Shape;
    const ended = () => {
      this.#connections.delete(pump);
      this.#over(pump);
    };
    const pump: Pump = new BytePump({ loop: this.#loop, fd, shape, ended });
    this.#running++;
    this.#connections.add(pump);
    pump.start(stream);
    return pump;
  }

  /** The program's end of a place, or -1. */
  childFd(place: number): number {
    return this.#ends.get(place)?.child ?? this.#children.get(place) ?? -1;
  }

  /** The program does without that of a place. */
  drop(place: number): void {
    const end = this.#ends.get(place);
    if (end === undefined) return;
    closeChild(end);
    end.pump.close(E.ECANCELED);
  }

  /** The program has its ends: all that is kept here is what tells how much of a file was read. */
  started(): void {
    for (const end of this.#ends.values()) if (!isFile(end)) closeChild(end);
    this.#closeChildren();
  }

  /**
   * It has ended: (place, bytes that it has read) of each file. Of `extra` places what it has
   * left is read, and no more: a daemon that keeps them keeps nobody waiting.
   */
  finished(extra: ReadonlySet<number>): number[] {
    const read: number[] = [];
    for (const [place, end] of this.#ends) {
      if (extra.has(place) && ENDS_WITH_PROGRAM.has(end.kind)) end.pump.leftByOwner();
      if (!isFile(end) || end.child < 0) continue;
      read.push(place, end.pump.figures.written - unreadBytes(end.child));
      closeChild(end);
      end.pump.close(E.EPIPE);
    }
    for (const pump of this.#connections) pump.leftByOwner();
    for (const listener of this.#listeners.values()) listener.close();
    return read;
  }

  #closeChildren(): void {
    for (const fd of this.#children.values()) close(fd);
    this.#children.clear();
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
    for (const pump of this.#connections) sum += pump.figures[what];
    return sum;
  }

  /** Gives up all of them. */
  close(errno: number): void {
    for (const end of this.#ends.values()) {
      closeChild(end);
      end.pump.close(errno);
    }
    this.#closeChildren();
    for (const pump of this.#connections) pump.close(errno);
    for (const listener of this.#listeners.values()) listener.close();
  }
}

function isFile({ kind }: End): boolean {
  return kind === ProgramEnd.FILE_INPUT;
}

function closeChild(end: End): void {
  if (end.child >= 0) close(end.child);
  end.child = -1;
}

interface Made {
  readonly own: number;
  readonly child: number;
  readonly shape: Shape;
  /** Of one that keeps messages apart. */
  readonly type?: number;
}

/** Both ends of what is wanted, or -errno. */
function make(kind: number, master: () => number): Made | number {
  if (kind === ProgramEnd.SOCKET) return makeSocket();
  if (kind === ProgramEnd.PACKETS) return makeSocket(SOCK_SEQPACKET);
  if (kind === ProgramEnd.DATAGRAMS) return makeSocket(SOCK_DGRAM);
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

function makeSocket(type?: number): Made | number {
  const pair = socketPair(type ?? SOCK_STREAM);
  if (typeof pair === "number") return pair;
  const [own, child] = pair;
  // What the program has is its own description: it may wait.
  setNonBlocking(child, false);
  return above({ own, child, shape: Shape.SOCKET, ...(type !== undefined && { type }) });
}

/** The program's end under a number that no descriptor of the program's can have. */
function above(made: Made): Made | number {
  const child = aboveAll(made.child);
  if (child >= 0) return { ...made, child };
  close(made.own);
  return child;
}

/** `fd` under such a number, or -errno. */
function aboveAll(fd: number): number {
  const moved = fcntlInt(fd, F_DUPFD_CLOEXEC, PROGRAM_FD_MAX + 1);
  close(fd);
  return moved;
}

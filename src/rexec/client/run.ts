/** One program over there, as seen from here: its order, its descriptors, signals, its end. */
import { Loop, type Watched } from "../../bridge/loop.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { lseek, read, SEEK_SET } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { getpid, kill } from "../../sys/process.ts";
import { openSignalPipe, raiseDefault } from "../../sys/signalpipe.ts";
import {
  SIGCONT,
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGSTOP,
  SIGTERM,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGUSR1,
  SIGUSR2,
  SIGWINCH,
} from "../../sys/signals.ts";
import type { Ending } from "../../sys/spawn.ts";
import type { Address } from "../../transport/address.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PROGRAM_FDS_MAX, PROGRAM_WINDOW_MAX } from "../../wire/limits.ts";
import { decodePlain } from "../../wire/plain.ts";
import { OutOfBand, ProgramEnd, StreamKind } from "../../wire/streams.ts";
import { integer, type SignalSet } from "../order.ts";
import type { Descriptors } from "./descriptors.ts";
import { isOrphaned } from "./job.ts";
import { RexecLink } from "./link.ts";
import { OwnEnd } from "./ownend.ts";
import type { OwnTerminal } from "./terminal.ts";

/** What is passed on to the program. */
const FORWARDED = [
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGUSR1,
  SIGUSR2,
  SIGTERM,
  SIGCONT,
  SIGTSTP,
  SIGWINCH,
] as const;
const ENDING: ReadonlySet<number> = new Set([SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
const STOPPING: ReadonlySet<number> = new Set([SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);
const SIGNALS_MAX = 64;

/** What came of it. */
export type Outcome =
  | Ending
  /** It goes on without us. */
  | { readonly pid: number };

export interface RunOptions {
  readonly address: Address;
  readonly order: Buffer;
  readonly descriptors: Descriptors;
  /** Signals that were ignored when we were started, and are left so. */
  readonly ignored: SignalSet;
  readonly terminal?: OwnTerminal;
  readonly detach: boolean;
  /** Told the number of the program, once it runs. */
  readonly started: (pid: number) => void;
  /** Says a sentence to the user: at once, for the program's end may take stderr with it. */
  readonly say: (sentence: string) => void;
}

/** The exit code where the program's cannot be had. */
export const FAILED = 125;

export class Run implements StreamHandler, Watched {
  readonly #loop = new Loop();
  readonly #options: RunOptions;
  readonly #link: RexecLink;
  readonly #ends: OwnEnd[] = [];
  readonly #control: Stream;
  readonly #signalFd: number;
  readonly #numbers = allocate(SIGNALS_MAX);
  /** Messages that wait until the stream takes them. */
  #untold: [type: number, bytes: Uint8Array][] = [];
  #sent = 0;
  #outcome: Outcome | undefined;

  /** Connects and orders; throws a sentence where that cannot be. */
  constructor(options: RunOptions) {
    this.#options = options;
    this.#link = new RexecLink(this.#loop, options.address, (why) => this.#fail(why));
    const [low] = options.ignored;
    const caught = FORWARDED.filter((signal) => (low & (1 << (signal - 1))) === 0);
    this.#signalFd = openSignalPipe(caught);
    if (this.#signalFd >= 0) this.#loop.add(this.#signalFd, EPOLLIN, this);
    this.#control = this.#open(StreamKind.PROGRAM, [options.order.length], this);
    const streams = options.descriptors.places.map((place, index) => {
      const connection = [this.#control.id, index, ProgramEnd.CONNECTION];
      const end = new OwnEnd({
        loop: this.#loop,
        place,
        connect: (handler) => this.#link.end.open(StreamKind.PROGRAM_FD, connection, handler),
        ended: () => this.#endOver(),
      });
      this.#ends.push(end);
      const description = [this.#control.id, index, place.kind];
      const stream = this.#open(StreamKind.PROGRAM_FD, description, end.handler);
      stream.windowMax = PROGRAM_WINDOW_MAX;
      return stream;
    });
    this.#sendOrder();
    // Not before all are open: what they have to send fills the connection.
    for (const [index, stream] of streams.entries()) this.#ends[index]?.handler.start(stream);
  }

  /** Serves until the program has ended and all it has written is written here. */
  run(): Outcome {
    if (this.#outcome === undefined || !this.#isOver) this.#loop.run();
    this.#link.close();
    for (const end of this.#ends) end.restore();
    return this.#outcome as Outcome;
  }

  #open(kind: number, description: unknown[], handler: StreamHandler): Stream {
    const stream = this.#link.end.open(kind, description, handler);
    if (stream === undefined) throw new Error("No more streams can be opened");
    return stream;
  }

  #sendOrder(): void {
    const { order } = this.#options;
    const sent = this.#control.send(order.subarray(this.#sent));
    this.#sent += Math.max(sent, 0);
  }

  /** Signals have come. */
  onEvents(): void {
    const count = read(this.#signalFd, this.#numbers.address, SIGNALS_MAX);
    for (let i = 0; i < count; i++) this.#signalled(this.#numbers.bytes[i] as number);
  }

  #signalled(signal: number): void {
    if (!this.#link.end.connected && ENDING.has(signal)) {
      // Nobody can be told, and whoever sent it wants to be rid of us.
      this.#conclude({ code: 0, signal });
      this.#loop.stop();
      return;
    }
    const { terminal } = this.#options;
    if (signal === SIGWINCH && terminal !== undefined) {
      this.#tell(OutOfBand.RESIZED, terminal.size);
      return;
    }
    if (signal === SIGCONT && terminal !== undefined) {
      terminal.enter();
      this.#tell(OutOfBand.RESIZED, terminal.size);
    }
    this.#tell(OutOfBand.SIGNAL, Uint8Array.of(signal));
  }

  /** The program was stopped by `signal`, and so are we, until CONT comes for both. */
  #stop(signal: number): void {
    this.#link.end.flush();
    this.#options.terminal?.leave();
    // By the others the kernel stops nobody whose group no shell cares for.
    if (signal === SIGSTOP || isOrphaned(getpid())) kill(getpid(), SIGSTOP);
    else raiseDefault(signal);
  }

  #tell(type: number, bytes: Uint8Array): void {
    this.#untold.push([type, bytes]);
    this.onWritable();
  }

  onWritable(): void {
    if (this.#sent < this.#options.order.length) this.#sendOrder();
    for (let next = this.#untold[0]; next !== undefined; next = this.#untold[0]) {
      if (!this.#control.sendOutOfBand(next[0], next[1])) return;
      this.#untold.shift();
    }
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    stream.consumed(0, 1);
    const items = decodePlain(bytes);
    if (!Array.isArray(items)) throw new ProtocolError("a message of a program is no list");
    const number = (index: number) => integer(items[index], Number.MAX_SAFE_INTEGER);
    if (type === OutOfBand.STARTED) {
      if (number(1) === 1) this.#link.waitForEver();
      this.#options.started(number(0));
      if (this.#options.detach) this.#conclude({ pid: number(0) });
    } else if (type === OutOfBand.NOT_STARTED) {
      for (const end of this.#ends) end.hasRead(0);
      this.#options.say(String(items[1]));
      this.#conclude({ code: number(0), signal: 0 });
      this.#loop.stop();
    } else if (type === OutOfBand.STOPPED) {
      const signal = number(0);
      if (!STOPPING.has(signal)) throw new ProtocolError(`a program stopped by signal ${signal}`);
      // What it has written before comes first.
      this.#loop.after(0, () => this.#stop(signal));
    } else if (type === OutOfBand.ENDED) {
      for (let i = 2; i < items.length; i += 2) this.#hasRead(number(i), number(i + 1));
      this.#conclude({ code: number(0), signal: number(1) });
    } else throw new ProtocolError(`message ${type} of a program`);
  }

  /** The program has left a file there: it is there for whoever has it here, too. */
  #hasRead(place: number, position: number): void {
    const { files } = this.#options.descriptors;
    const file = files[place - PROGRAM_FDS_MAX];
    if (file === undefined) this.#ends[place]?.hasRead(position);
    else lseek(file.fd, position, SEEK_SET);
  }

  onData(): void {
    throw new ProtocolError("data of a program where there is none");
  }

  onEof(): void {}

  onReset(): void {
    this.#fail("the rexec-server has given the program up");
  }

  onClosed(): void {}

  #endOver(): void {
    if (this.#isOver) this.#loop.stop();
  }

  #fail(why: string): void {
    if (this.#outcome !== undefined && this.#isOver) return;
    this.#options.say(why);
    this.#outcome = { code: FAILED, signal: 0 };
    this.#loop.stop();
  }

  #conclude(outcome: Outcome): void {
    this.#outcome ??= outcome;
    if (this.#isOver) this.#loop.stop();
  }

  /** Whether the program has ended, and nothing more comes of it. */
  get #isOver(): boolean {
    if (this.#outcome === undefined) return false;
    return "pid" in this.#outcome || this.#ends.every((end) => !end.isOutput || end.isOver);
  }
}

/**
 * One program that a client has ordered: from the order to its end. The stream is its
 * control: what comes on it is the order, and then signals; when the client gives it up, or
 * the session ends, the program is ended, unless it was to outlive that.
 */
import { encode } from "cbor-x/encode";
import type { Loop, Watched } from "../../bridge/loop.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import type { ChildFd } from "../../sys/child.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import { close, O_RDWR } from "../../sys/open.ts";
import { kill, pidfdOpen } from "../../sys/process.ts";
import { SIGCONT, SIGKILL, SIGRTMAX, SIGSTOP, SIGTERM } from "../../sys/signals.ts";
import { type Ending, reap } from "../../sys/spawn.ts";
import { setTerminalSize, WINSIZE_STRUCT_SIZE } from "../../sys/terminal.ts";
import { ProtocolError } from "../../wire/error.ts";
import { ORDER_MAX } from "../../wire/limits.ts";
import { OutOfBand } from "../../wire/streams.ts";
import { decodeOrder, integer, type Order } from "../order.ts";
import type { Acting } from "./acting.ts";
import type { Client } from "./client.ts";
import { Ends } from "./ends.ts";
import { type NotStarted, start } from "./starter.ts";
import { wouldStop } from "./stops.ts";
import { ProgramTerminal } from "./terminal.ts";

/** How long a program that is out of time may take to end. */
const GRACE_MS = 5000;
/** The exit code of one that was, as of timeout(1). */
const TIMED_OUT = 124;

/** Who has programs. */
export interface ProgramHost {
  readonly loop: Loop;
  readonly acting: Acting;
  /** Whether the client may order this: the order to be carried out, or why not. */
  admit(program: Program, order: Order, words: () => string[]): Admission;
  started(program: Program): void;
  /** It was not allowed, or could not be started. */
  refused(program: Program, sentence: string): void;
  ended(program: Program): void;
  /** All of it is over. */
  gone(program: Program): void;
}

/** Whose session a program is of. */
export interface ProgramOwner {
  readonly client: Client;
  /** Whether it has a connection. */
  readonly connected: boolean;
}

/** What is allowed to an order; `onLost`: what becomes of it when its client does not come back. */
export type Admission =
  | {
      readonly order: Order;
      readonly check?: (resolved: string) => void;
      readonly onLost?: "keep" | "terminate";
    }
  | { readonly refused: string };

export class Program implements StreamHandler, Watched {
  readonly #host: ProgramHost;
  readonly #stream: Stream;
  readonly #ends: Ends;
  readonly #terminal = new ProgramTerminal();
  /** The order, as far as it has come; undefined once it was carried out. */
  #region: Region | undefined;
  readonly #length: number;
  #have = 0;
  readonly #owner: ProgramOwner;
  /** Its arguments, shortened, for people. */
  words: string[] = [];
  uid = -1;
  pid = 0;
  #pidfd = -1;
  #detached = false;
  /** What stands for the SIGSTOP that stops it. */
  #stopSignal = SIGSTOP;
  /** Whether it waits for its client beyond the lease. */
  isKept = false;
  #isOutOfTime = false;
  #isAbandoned = false;
  #isGone = false;
  #cancelTimeout: (() => void) | undefined;
  /** Signals that have come before it was started. */
  #early: number[] = [];
  /** Messages that wait until the stream takes them. */
  #untold: [type: number, value: unknown[]][] = [];
  readonly sinceMs: number;
  ending: Ending | undefined;

  constructor(host: ProgramHost, owner: ProgramOwner, stream: Stream, length: number) {
    if (length > ORDER_MAX) throw new ProtocolError("an order that is too long");
    this.#host = host;
    this.#stream = stream;
    this.#owner = owner;
    this.#length = length;
    this.#region = allocate(Math.max(length, 1));
    this.sinceMs = host.loop.nowMs;
    this.#ends = new Ends(host.loop, () => this.#settle());
  }

  /** Whom it is for. */
  get client(): Client {
    return this.#owner.client;
  }

  get connected(): boolean {
    return this.#owner.connected;
  }

  /** Whether it goes on when its client does not come back. */
  get outlives(): boolean {
    return this.#detached || this.isKept;
  }

  get bytesIn(): number {
    return this.#ends.bytesIn;
  }

  get bytesOut(): number {
    return this.#ends.bytesOut;
  }

  /** Whether it runs. */
  get runs(): boolean {
    return this.pid > 0 && this.ending === undefined;
  }

  /** A stream for one of its descriptors. */
  takeFd(stream: Stream, place: number, kind: number): StreamHandler | number {
    if (this.#region === undefined) return E.EINVAL;
    return this.#ends.take(stream, place, kind, () => this.#terminal.open());
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    const region = this.#region;
    if (region === undefined || this.#have + bytes.length > this.#length) {
      throw new ProtocolError("more of an order than was announced");
    }
    region.bytes.set(bytes, this.#have);
    this.#have += bytes.length;
    stream.consumed(bytes.length);
    if (this.#have === this.#length) this.#carryOut(region);
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    stream.consumed(0, 1);
    if (type === OutOfBand.SIGNAL && bytes.length === 1) this.#signalled(bytes[0] as number);
    else if (type === OutOfBand.RESIZED && bytes.length === WINSIZE_STRUCT_SIZE) {
      setTerminalSize(this.#terminal.master, bytes);
    } else throw new ProtocolError(`message ${type} to a program`);
  }

  onEof(): void {}

  onReset(): void {
    this.abandon();
  }

  onWritable(): void {
    this.#tell();
  }

  onClosed(): void {}

  /** The program has ended. */
  onEvents(): void {
    const ending = reap(this.#pidfd, true);
    if (ending === undefined) return;
    this.#host.loop.remove(this.#pidfd);
    this.#cancelTimeout?.();
    this.ending = this.#isOutOfTime ? { code: TIMED_OUT, signal: 0 } : ending;
    this.#terminal.close();
    const { code, signal } = this.ending;
    this.#say(OutOfBand.ENDED, [code, signal, ...this.#ends.finished()]);
    this.#host.ended(this);
    this.#settle();
  }

  /** Sends its process group a signal, while it is sure to be its. */
  signal(number: number): void {
    if (this.pid <= 0 || this.#pidfd < 0) return;
    const stops = wouldStop(this.pid, number);
    kill(-this.pid, number);
    if (number === SIGCONT) this.#stopSignal = SIGSTOP;
    if (!stops) return;
    this.#stopSignal = number;
    kill(-this.pid, SIGSTOP);
  }

  /** Its process was stopped by `number`: the client's is to be, too. */
  stopped(number: number): void {
    const signal = number === SIGSTOP ? this.#stopSignal : number;
    this.#stopSignal = SIGSTOP;
    if (this.runs) this.#say(OutOfBand.STOPPED, [signal]);
  }

  /** Nobody wants it any more: it is ended, unless it has ended or outlives its client. */
  abandon(): void {
    if (this.#isAbandoned) return;
    this.#isAbandoned = true;
    if (this.runs && !this.#detached) this.signal(SIGKILL);
    this.#terminal.close();
    if (this.#region !== undefined) free(this.#region);
    this.#region = undefined;
    this.#ends.close(E.ECONNRESET);
    this.#settle();
  }

  #signalled(number: number): void {
    if (number < 1 || number > SIGRTMAX) throw new ProtocolError(`signal ${number}`);
    if (this.pid > 0) this.signal(number);
    else if (this.#early.length < SIGRTMAX) this.#early.push(number);
  }

  /** The order is here. */
  #carryOut(region: Region): void {
    const order = decodeOrder(region.bytes);
    this.#describe(order, region);
    try {
      const words = () => {
        const { argvStart, envStart } = order;
        return region.bytes.latin1Slice(argvStart, envStart - 1).split("\0");
      };
      const admission = this.#host.admit(this, order, words);
      if ("refused" in admission) this.#refuse({ code: 126, sentence: admission.refused });
      else this.#start(admission, region);
    } finally {
      free(region);
      this.#region = undefined;
      this.#settle();
    }
  }

  #describe({ head, argvStart, envStart }: Order, region: Region): void {
    const text = region.bytes.subarray(argvStart, Math.min(envStart - 1, argvStart + 1024));
    this.words = Buffer.from(text).toString().split("\0");
    this.uid = head.uid;
  }

  #start({ order, check, onLost }: Exclude<Admission, { refused: string }>, region: Region): void {
    const { acting, loop } = this.#host;
    const { head } = order;
    const errno = head.terminal === undefined ? 0 : this.#terminal.prepare(head.terminal, head.uid);
    if (errno < 0) {
      this.#refuse({ code: 126, sentence: `there is no terminal: ${errnoText(errno)}` });
      return;
    }
    const fds = this.#childFds(order);
    const started = start({ order, region, fds, acting, ...(check && { check }) });
    if (typeof started !== "number") {
      this.#refuse(started);
      return;
    }
    this.pid = started;
    this.uid = head.uid;
    this.#detached = head.detach;
    this.isKept = onLost === "keep";
    this.#ends.started();
    this.#pidfd = pidfdOpen(started);
    if (this.#pidfd < 0) throw new Error(`No pidfd: ${errnoText(this.#pidfd)}`);
    loop.add(this.#pidfd, EPOLLIN, this);
    if (head.timeoutMs > 0) this.#limit(head.timeoutMs);
    for (const number of this.#early.splice(0)) this.signal(number);
    this.#say(OutOfBand.STARTED, [started, this.isKept ? 1 : 0]);
    this.#host.started(this);
  }

  #childFds({ head }: Order): ChildFd[] {
    return head.fds.map((fd): ChildFd => {
      const { target } = fd;
      if ("device" in fd) return { target, path: `/dev/${fd.device}`, flags: fd.flags };
      const child = this.#ends.childFd(fd.place);
      if (child >= 0) return { target, fd: child };
      // The first that it opens becomes the terminal of its session.
      if (this.#terminal.path !== "") return { target, path: this.#terminal.path, flags: O_RDWR };
      throw new ProtocolError(`an order without a stream for place ${fd.place}`);
    });
  }

  #limit(ms: number): void {
    const { loop } = this.#host;
    this.#cancelTimeout = loop.after(ms, () => {
      this.#isOutOfTime = true;
      this.signal(SIGTERM);
      this.#cancelTimeout = loop.after(GRACE_MS, () => this.signal(SIGKILL));
    });
  }

  #refuse({ code, sentence }: NotStarted): void {
    this.#host.refused(this, sentence);
    this.#say(OutOfBand.NOT_STARTED, [code, sentence]);
    this.#terminal.close();
    this.#ends.close(E.EPIPE);
    this.#isAbandoned = true;
  }

  #say(type: number, value: unknown[]): void {
    this.#untold.push([type, value]);
    this.#tell();
  }

  #tell(): void {
    for (let next = this.#untold[0]; next !== undefined; next = this.#untold[0]) {
      if (!this.#stream.sendOutOfBand(next[0], encode(next[1]))) return;
      this.#untold.shift();
    }
    if (this.ending !== undefined || (this.#isAbandoned && this.pid === 0)) this.#stream.end();
  }

  /** Lets go of it once nothing more can come of it. */
  #settle(): void {
    const isDone = this.ending !== undefined || (this.#isAbandoned && this.pid === 0);
    if (this.#isGone || !isDone || !(this.#ends.areOver || this.#isAbandoned)) return;
    this.#isGone = true;
    if (this.#pidfd >= 0) {
      reap(this.#pidfd);
      close(this.#pidfd);
      this.#pidfd = -1;
    }
    this.#host.gone(this);
  }
}

/** Checks what describes a stream of a program's. */
export function readPlace(
  items: readonly unknown[],
): [program: number, place: number, kind: number] {
  if (items.length !== 3) throw new ProtocolError("a program's descriptor of a wrong length");
  const max = Number.MAX_SAFE_INTEGER;
  return [integer(items[0], max), integer(items[1], max), integer(items[2], max)];
}

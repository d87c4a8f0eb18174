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
import { OutOfBand, ProgramEnd } from "../../wire/streams.ts";
import { decodeOrder, integer, type Order, type OrderHead } from "../order.ts";
import type { Acting } from "./acting.ts";
import type { Client } from "./client.ts";
import { Ends } from "./ends.ts";
import { ProgramFiles } from "./files.ts";
import type { Admission, Granted, Rule } from "./rules.ts";
import { type NotStarted, start } from "./starter.ts";
import { wouldStop } from "./stops.ts";
import { ProgramTerminal } from "./terminal.ts";

const STDERR = 2;
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
  /** The client's number among its own. */
  readonly clientPid: number;
  /** Whether it has a connection. */
  readonly connected: boolean;
  programEnded(): void;
}

export class Program implements StreamHandler, Watched {
  readonly #host: ProgramHost;
  readonly #stream: Stream;
  readonly #ends: Ends;
  readonly #files = new ProgramFiles();
  readonly #terminal = new ProgramTerminal();
  /** Places of descriptors above 2. */
  #extra: ReadonlySet<number> = new Set();
  /** The order, as far as it has come; undefined once it was carried out. */
  #region: Region | undefined;
  readonly #length: number;
  #have = 0;
  readonly #owner: ProgramOwner;
  /** Its arguments, shortened, for people. */
  words: string[] = [];
  uid = -1;
  /** What allows it, where there are rules. */
  rule: Rule | undefined;
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
    if (this.#region === undefined && kind !== ProgramEnd.CONNECTION) return E.EINVAL;
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
    const read = [...this.#ends.finished(this.#extra), ...this.#files.finished()];
    this.#say(OutOfBand.ENDED, [code, signal, ...read]);
    this.#host.ended(this);
    this.#owner.programEnded();
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
    // The others when it has stopped: a child of vfork(2) that stops early would keep it from that.
    kill(this.pid, SIGSTOP);
  }

  /** Its process was stopped by `number`: the client's is to be, too. */
  stopped(number: number): void {
    const signal = number === SIGSTOP ? this.#stopSignal : number;
    if (signal !== number) kill(-this.pid, SIGSTOP);
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
    this.#files.close();
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
      else this.#start(order, admission, region);
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

  #start(order: Order, granted: Granted, region: Region): void {
    const { acting, loop } = this.#host;
    const { clientPid } = this.#owner;
    this.#openFiles(granted);
    const fds = (head: OrderHead) => this.#prepareFds(head);
    const started = start({ order, region, granted, fds, acting, clientPid });
    if ("code" in started) {
      this.#refuse(started);
      return;
    }
    const { pid, grant } = started;
    const { head } = grant;
    this.pid = pid;
    this.rule = grant.rule;
    this.uid = head.uid;
    this.#detached = head.detach;
    this.isKept = grant.rule?.onLost === "keep";
    this.#ends.started();
    this.#pidfd = pidfdOpen(pid);
    if (this.#pidfd < 0) throw new Error(`No pidfd: ${errnoText(this.#pidfd)}`);
    loop.add(this.#pidfd, EPOLLIN, this);
    if (head.timeoutMs > 0) this.#limit(head.timeoutMs);
    for (const number of this.#early.splice(0)) this.signal(number);
    this.#say(OutOfBand.STARTED, [pid, this.isKept ? 1 : 0]);
    this.#host.started(this);
  }

  /**
   * Opens its files as its client: who may run a program as another user may not open files as
   * that user. A stranger, whom nobody knows, has none opened then; pipes carry them.
   */
  #openFiles({ grants, own }: Granted): void {
    const isKnown = this.client.uid !== undefined;
    if (!isKnown && grants.some(({ rule }) => rule?.as !== undefined)) return;
    this.#host.acting.as(own, () => {
      this.#files.open(own.files);
      return 0;
    });
  }

  /** Its descriptors, and its terminal where it is to have one, as whom `head` says. */
  #prepareFds(head: OrderHead): ChildFd[] | NotStarted {
    const errno = head.terminal === undefined ? 0 : this.#terminal.prepare(head.terminal, head.uid);
    if (errno >= 0) return this.#childFds(head);
    return { code: 126, sentence: `there is no terminal: ${errnoText(errno)}` };
  }

  #childFds(head: OrderHead): ChildFd[] {
    const extra = new Set<number>();
    this.#extra = extra;
    const ofPlace = (target: number, place: number): ChildFd => {
      if (target > STDERR) extra.add(place);
      const child = this.#ends.childFd(place);
      if (child >= 0) return { target, fd: child };
      // The first that it opens becomes the terminal of its session.
      if (this.#terminal.path !== "") return { target, path: this.#terminal.path, flags: O_RDWR };
      throw new ProtocolError(`an order without a stream for place ${place}`);
    };
    const fds = head.fds.flatMap((fd): ChildFd[] => {
      const { target } = fd;
      if ("device" in fd) return [{ target, path: `/dev/${fd.device}`, flags: fd.flags }];
      if ("place" in fd) return [ofPlace(target, fd.place)];
      const file = this.#files.fd(fd.file);
      if (file >= 0) return [{ target, fd: file }];
      const place = head.files[fd.file]?.place ?? -1;
      return place < 0 ? [] : [ofPlace(target, place)];
    });
    for (const fd of head.fds) {
      if ("place" in fd && fd.target <= STDERR) extra.delete(fd.place);
    }
    head.files.forEach(({ place }, index) => {
      if (place >= 0 && this.#files.fd(index) >= 0) this.#ends.drop(place);
    });
    return fds;
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
    this.#files.close();
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

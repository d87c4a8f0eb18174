/**
 * The server's end of a FIFO's stream: opens the HOST's FIFO as the client's words say, moves
 * data, and tells when the HOST's processes come and go. The client decides everything.
 *
 * | mode | open here | ends with |
 * | --- | --- | --- |
 * | OFF | nothing | READ, WRITE, TRY |
 * | READING | the read end, which data is sent from | RELEASE → GIVING; TRY, if somebody reads → WRITING |
 * | GIVING | the same | GIVEN → GIVEN |
 * | GIVEN | the same, for what was not read until it is known who reads it next | READ; else it is put back → OFF |
 * | AWAITING | an open(2) that waits for a reader; the write end, if there was a reader | a reader → WRITING; READ → READING; RELEASE → OFF |
 * | WRITING | the write end | the last reader closes → AWAITING; READ → READING; RELEASE → DRAINING |
 * | DRAINING | the same, until all is written | → OFF; WRITE, TRY → WRITING |
 *
 * Unread data lives in the HOST's pipe as long as anybody has that open: so there is always
 * something of ours open while the DPU's processes have it.
 */
import { Backlog } from "../../bridge/backlog.ts";
import { FifoLine, type FifoListener, Pulled } from "../../bridge/fifoline.ts";
import type { Loop } from "../../bridge/loop.ts";
import { hasWriters, pollNow, putAll, takeAll } from "../../bridge/pipeends.ts";
import { cstring } from "../../sys/cstring.ts";
import { EPOLLERR, EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { read, write } from "../../sys/io.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openat,
} from "../../sys/open.ts";
import { POLLERR, POLLHUP, POLLIN } from "../../sys/poll.ts";
import { ProtocolError } from "../../wire/error.ts";
import { FifoWord } from "../../wire/streams.ts";
import type { Partners, Wait } from "./partners.ts";

export const Mode = {
  OFF: "off",
  READING: "reading",
  GIVING: "giving",
  GIVEN: "given",
  AWAITING: "awaiting",
  WRITING: "writing",
  DRAINING: "draining",
} as const;

type Mode = (typeof Mode)[keyof typeof Mode];

const NONE = -1;
/** The word after GIVEN follows at once, if any does. */
const GIVEN_MS = 1;
/** By then an open(2) that need not wait is over. */
const DOUBT_MS = 10;

export interface FifoEndOptions {
  readonly loop: Loop;
  readonly partners: Partners;
  /** A path to the HOST's FIFO, good while the end lives: /proc/self/fd/N of an O_PATH descriptor. */
  readonly path: string;
  readonly log: (text: string) => void;
  /** Nothing is open any more. */
  readonly ended: () => void;
}

export class FifoEnd implements FifoListener {
  readonly line = new FifoLine(this);
  readonly #options: FifoEndOptions;
  #mode: Mode = Mode.OFF;
  /** The end that is open. */
  #fd = NONE;
  /** Both ends, while what was put back waits for the next word. */
  #both = NONE;
  /** Whether `#fd` is in the loop. */
  #isWatched = false;
  /** Whether the HOST has a writer, as the client was told. */
  #hasWriter = false;
  #wait: Wait | undefined;
  /** Data for the pipe that it has not taken; its credit is not given back. */
  readonly #backlog = new Backlog();
  /** What was not read here, or there. */
  #residue: Uint8Array[] = [];
  /** Bytes that are sent before any others. */
  #early: Uint8Array[] = [];
  #cancelPutBack = () => {};
  #cancelDoubt = () => {};
  #isOver = false;

  constructor(options: FifoEndOptions) {
    this.#options = options;
  }

  get mode(): Mode {
    return this.#mode;
  }

  onWord(word: number): void {
    switch (word) {
      case FifoWord.READ:
        this.#expect(word, Mode.OFF, Mode.GIVEN, Mode.AWAITING, Mode.WRITING);
        this.#read();
        break;
      case FifoWord.WRITE:
        this.#expect(word, Mode.OFF, Mode.GIVEN, Mode.DRAINING);
        if (this.#mode === Mode.GIVEN) this.#putBack(true);
        this.#write();
        break;
      case FifoWord.TRY:
        this.#expect(word, Mode.OFF, Mode.GIVEN, Mode.READING, Mode.DRAINING);
        if (this.#mode === Mode.GIVEN) this.#putBack(false);
        this.#try();
        break;
      case FifoWord.RELEASE:
        this.#release();
        break;
      case FifoWord.GIVEN:
        this.#expect(word, Mode.GIVING);
        this.#mode = Mode.GIVEN;
        this.#cancelPutBack = this.#options.loop.after(GIVEN_MS, () => this.#putBack(false));
        break;
      default:
        throw new ProtocolError(`word ${word} on the stream of a FIFO`);
    }
  }

  onBytes(bytes: Uint8Array, address: number): void {
    switch (this.#mode) {
      case Mode.WRITING:
      case Mode.DRAINING:
        this.#put(bytes, address);
        break;
      case Mode.AWAITING:
        this.#backlog.put(bytes);
        break;
      case Mode.GIVING:
        this.#residue.push(new Uint8Array(bytes));
        this.line.consumed(bytes.length);
        break;
      default:
        throw new ProtocolError("data for a FIFO that is not open for it");
    }
  }

  onRoom(): void {
    if (this.#mode === Mode.READING && this.#hasWriter) this.#pull();
  }

  onGone(): void {
    this.close();
  }

  /** Lets go of everything. */
  close(): void {
    if (this.#isOver) return;
    if (this.#mode === Mode.GIVEN) this.#putBack(false);
    this.#isOver = true;
    this.#cancelDoubt();
    this.#cancelPutBack();
    this.#shut();
    this.#letGoOfBoth();
    this.#backlog.clear();
    this.#residue = [];
    const wait = this.#wait;
    this.#wait = undefined;
    if (wait === undefined) this.#options.ended();
    else wait.cancel(this.#options.ended);
  }

  onEvents(events: number): void {
    if (this.#mode === Mode.READING) {
      // Who came and went before the open(2) that waits for writers was under way is seen here.
      if (this.#hasWriter) this.#pull();
      else {
        this.#unwatch();
        this.#unwait(() => this.#writerCame());
      }
      return;
    }
    if ((events & EPOLLERR) !== 0) this.#left();
    else this.#flush();
  }

  #expect(word: number, ...modes: Mode[]): void {
    if (!modes.includes(this.#mode)) {
      throw new ProtocolError(`word ${word} on the stream of a FIFO that is ${this.#mode}`);
    }
  }

  #open(flags: number): number {
    return openat(AT_FDCWD, cstring(this.#options.path), flags | O_NONBLOCK | O_CLOEXEC, 0);
  }

  #watch(events: number): void {
    const { loop } = this.#options;
    if (this.#isWatched) loop.modify(this.#fd, events);
    else loop.add(this.#fd, events, this);
    this.#isWatched = true;
  }

  #unwatch(): void {
    if (this.#isWatched) this.#options.loop.remove(this.#fd);
    this.#isWatched = false;
  }

  #shut(): void {
    this.#unwatch();
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = NONE;
  }

  /** It cannot be opened: the stream is of no use. */
  #fail(errno: number): void {
    this.#options.log(`A FIFO cannot be opened: errno ${errno}`);
    this.line.fail(errno);
    this.close();
  }

  // Reading.

  #read(): void {
    const fd = this.#open(O_RDONLY);
    if (fd < 0) {
      this.#fail(-fd);
      return;
    }
    // What was on its way to readers is after what is in the pipe.
    const late = new Uint8Array(this.#backlog.first(this.#backlog.length));
    this.#dropBacklog();
    this.#cancelPutBack();
    if (this.#mode !== Mode.OFF) {
      this.#early = [...this.#residue, ...this.#early, ...takeAll(fd), late];
      this.#residue = [];
    }
    this.#early = this.#early.filter(({ length }) => length > 0);
    this.#shut();
    this.#fd = fd;
    const wasOff = this.#mode === Mode.OFF;
    this.#mode = Mode.READING;
    this.#hasWriter = false;
    this.#unwait(() => {
      this.#letGoOfBoth();
      if (wasOff || this.#reopen()) this.#begunReading();
    });
  }

  #begunReading(): void {
    const isDoubtful = this.#early.length === 0 && pollNow(this.#fd) === POLLIN;
    if (isDoubtful && this.#options.partners.isAsync) this.#doubt();
    else if (this.#early.length > 0 || this.#findsWriter()) this.#writerCame();
    else {
      this.line.say(FifoWord.NO_WRITERS);
      this.#awaitWriter(EPOLLIN);
    }
  }

  /** There is data, which may be a former writer's that other readers keep: an open(2) that does not wait tells. */
  #doubt(): void {
    this.#cancelDoubt = this.#options.loop.after(DOUBT_MS, () =>
      this.line.say(FifoWord.NO_WRITERS),
    );
    this.#awaitWriter(0);
  }

  /** Whether anybody has it open for writing, or has had since we opened it. */
  #findsWriter(): boolean {
    return (pollNow(this.#fd) & (POLLIN | POLLHUP)) !== 0 || hasWriters(this.#fd) !== false;
  }

  /** Waits for a writer, or for `events` of what is open already; a hang-up is one. */
  #awaitWriter(events: number): void {
    const { partners, path } = this.#options;
    this.#watch(events);
    this.#wait = partners.forWriter(
      path,
      () => this.#findsWriter(),
      () => {
        this.#wait = undefined;
        if (!this.#isOver && this.#mode === Mode.READING) this.#writerCame();
      },
    );
  }

  #writerCame(): void {
    if (this.#hasWriter) return;
    this.#cancelDoubt();
    this.#hasWriter = true;
    this.line.say(FifoWord.WRITERS);
    this.#pull();
  }

  #pull(): void {
    for (const early of this.#early.splice(0)) this.line.send(early);
    const fd = this.#fd;
    const found = this.line.pull((address, max) => read(fd, address, max));
    if (found === Pulled.ALL || found === Pulled.SOME) this.#watch(EPOLLIN);
    else if (found === Pulled.BLOCKED) this.#unwatch();
    else if (found === Pulled.END) this.#writersLeft();
    else this.#fail(-found);
  }

  #writersLeft(): void {
    this.#unwatch();
    this.#hasWriter = false;
    this.line.say(FifoWord.NO_WRITERS);
    if (!this.#reopen()) return;
    if (this.#findsWriter()) this.#writerCame();
    else this.#awaitWriter(EPOLLIN);
  }

  /** A hang-up that was told is told for ever; a new descriptor tells of the next one. */
  #reopen(): boolean {
    const fd = this.#open(O_RDONLY);
    if (fd < 0) {
      this.#fail(-fd);
      return false;
    }
    this.#shut();
    this.#fd = fd;
    return true;
  }

  /**
   * What was not read there goes back to where it came from, before what has come since, if
   * anybody has that open; with `stays`, for a writer there, who wants to have it open at once.
   */
  #putBack(stays: boolean): void {
    this.#cancelPutBack();
    const given = [...this.#residue, ...this.#early];
    this.#residue = [];
    this.#early = [];
    const rest = given.length > 0 ? takeAll(this.#fd) : [];
    if (given.length > 0 && (this.#hasWriter || stays)) {
      this.#both = this.#open(O_RDWR);
      this.#putAll(this.#both, [...given, ...rest]);
      this.#shut();
      if (!stays) this.#letGoOfBoth();
    } else {
      this.#shut();
      const fd = given.length > 0 ? this.#open(O_WRONLY) : NONE;
      if (fd >= 0) {
        this.#putAll(fd, [...given, ...rest]);
        close(fd);
      }
    }
    this.#mode = Mode.OFF;
  }

  #putAll(fd: number, parts: readonly Uint8Array[]): void {
    const lost = fd < 0 ? 1 : putAll(fd, parts);
    if (lost > 0) this.#options.log(`${lost} unread bytes found no room in a FIFO`);
  }

  #letGoOfBoth(): void {
    if (this.#both >= 0) close(this.#both);
    this.#both = NONE;
  }

  // Writing.

  #write(): void {
    const errno = this.#mode === Mode.DRAINING ? 0 : this.#openToWrite();
    if (errno === 0) this.#begin(FifoWord.READERS);
    else if (errno === E.ENXIO) this.#awaitReader();
    else this.#fail(errno);
  }

  /** ENXIO: nobody reads; the write end may be open then nevertheless. */
  #openToWrite(): number {
    const fd = this.#open(O_WRONLY);
    const hadBoth = this.#both >= 0;
    this.#letGoOfBoth();
    if (fd < 0) return -fd;
    this.#fd = fd;
    return hadBoth && (pollNow(fd) & POLLERR) !== 0 ? E.ENXIO : 0;
  }

  #begin(word: number): void {
    this.#mode = Mode.WRITING;
    this.line.say(word);
    this.#flush();
  }

  #awaitReader(): void {
    this.#mode = Mode.AWAITING;
    this.line.say(FifoWord.NO_READERS);
    const { partners, path } = this.#options;
    this.#wait = partners.forReader(path, (fd) => {
      this.#wait = undefined;
      if (this.#isOver) {
        if (fd >= 0) close(fd);
      } else if (fd < 0) this.#fail(-fd);
      else {
        this.#shut();
        this.#fd = fd;
        this.#begin(FifoWord.READERS);
      }
    });
  }

  /** Calls `then` once nobody is waited for any more. */
  #unwait(then: () => void): void {
    const wait = this.#wait;
    if (wait === undefined) {
      then();
      return;
    }
    wait.cancel(() => {
      if (this.#isOver || this.#wait !== wait) return;
      this.#wait = undefined;
      then();
    });
  }

  #try(): void {
    if (this.#mode === Mode.READING) {
      this.#tryInstead();
      return;
    }
    const errno = this.#mode === Mode.DRAINING ? 0 : this.#openToWrite();
    if (errno === 0) this.#begin(FifoWord.TAKEN);
    else if (errno === E.ENXIO) {
      this.#shut();
      this.line.say(FifoWord.NOBODY);
    } else this.#fail(errno);
  }

  /** Reads no more, looks whether anybody else does, and reads on if not. */
  #tryInstead(): void {
    if (this.#hasWriter) {
      this.line.say(FifoWord.NOBODY);
      return;
    }
    this.#unwait(() => {
      if (this.#findsWriter()) {
        this.#writerCame();
        this.line.say(FifoWord.NOBODY);
      } else this.#swap();
    });
  }

  #swap(): void {
    this.#shut();
    if (this.#openToWrite() === 0) {
      this.#begin(FifoWord.TAKEN);
      return;
    }
    this.line.say(FifoWord.NOBODY);
    if (!this.#reopen()) return;
    if (this.#findsWriter()) this.#writerCame();
    else this.#awaitWriter(EPOLLIN);
  }

  #put(bytes: Uint8Array, address: number): void {
    let wrote = 0;
    if (this.#backlog.length === 0) {
      wrote = write(this.#fd, address, bytes.length);
      if (wrote === -E.EPIPE) {
        this.#backlog.put(bytes);
        this.#left();
        return;
      }
      wrote = Math.max(wrote, 0);
      this.line.consumed(wrote);
    }
    if (wrote === bytes.length) return;
    this.#backlog.put(bytes.subarray(wrote));
    this.#watch(EPOLLOUT);
  }

  #flush(): void {
    while (this.#backlog.length > 0) {
      const { address, length } = this.#backlog;
      const wrote = write(this.#fd, address, length);
      if (wrote === -E.EPIPE) {
        this.#left();
        return;
      }
      if (wrote <= 0) break;
      this.#backlog.drop(wrote);
      this.line.consumed(wrote);
    }
    this.#watch(this.#backlog.length > 0 ? EPOLLOUT : 0);
    if (this.#mode === Mode.DRAINING && this.#backlog.length === 0) this.#released();
  }

  /** The last reader has closed it; what is unread stays for the next. */
  #left(): void {
    this.#unwatch();
    if (this.#mode === Mode.DRAINING) this.#released();
    else this.#awaitReader();
  }

  /** What was written without a reader is still there for as long as others have it open. */
  #leaveBacklog(): void {
    if (this.#backlog.length > 0) {
      const both = this.#open(O_RDWR);
      if (both >= 0) {
        write(both, this.#backlog.address, this.#backlog.length);
        close(both);
      }
    }
    this.#dropBacklog();
  }

  #dropBacklog(): void {
    this.line.consumed(this.#backlog.length);
    this.#backlog.clear();
  }

  // Letting go.

  #release(): void {
    switch (this.#mode) {
      case Mode.READING:
        this.#cancelDoubt();
        this.#unwatch();
        this.#mode = Mode.GIVING;
        this.#wait?.cancel(() => {});
        this.#wait = undefined;
        this.line.say(FifoWord.RELEASED);
        break;
      case Mode.AWAITING:
        this.#unwait(() => this.#released());
        break;
      case Mode.WRITING:
        this.#mode = Mode.DRAINING;
        this.#flush();
        break;
      default:
        throw new ProtocolError(`a FIFO that is ${this.#mode} is released`);
    }
  }

  #released(): void {
    this.#leaveBacklog();
    this.#shut();
    this.#mode = Mode.OFF;
    this.line.say(FifoWord.RELEASED);
  }
}

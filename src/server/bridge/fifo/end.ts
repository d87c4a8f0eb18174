/**
 * The server's end of a FIFO's stream: opens the HOST's FIFO as the client's words say, moves
 * data, and tells when the HOST's processes come and go. The client decides everything.
 *
 * | mode | open here | ends with |
 * | --- | --- | --- |
 * | OFF | nothing | READ, WRITE, TRY |
 * | READING | the read end, which data is sent from; the write end, too, while both ends are open on the DPU (both.ts) | RELEASE → GIVING; TRY, if somebody reads → WRITING |
 * | GIVING | the read end | GIVEN → GIVEN |
 * | GIVEN | the same, for what was not read until it is known who reads it next | READ; else it is put back → OFF |
 * | AWAITING | an open(2) that waits for a reader; the write end, if there was a reader | a reader → WRITING; READ → READING; RELEASE → OFF |
 * | WRITING | the write end | the last reader closes → AWAITING; READ → READING; RELEASE → DRAINING |
 * | DRAINING | the same, until all is written | → OFF; WRITE, TRY → WRITING |
 *
 * Unread data lives in the HOST's pipe as long as anybody has that open: so there is always
 * something of ours open while the DPU's processes have it.
 */
import { FifoLine, type FifoListener } from "../../../bridge/fifoline.ts";
import { OwnEnd } from "../../../bridge/ownend.ts";
import { pollNow } from "../../../bridge/pipeends.ts";
import { cstring } from "../../../sys/cstring.ts";
import { E } from "../../../sys/errno.ts";
import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_WRONLY, openat } from "../../../sys/open.ts";
import { POLLERR } from "../../../sys/poll.ts";
import { ProtocolError } from "../../../wire/error.ts";
import { FifoWord } from "../../../wire/streams.ts";
import type { Wait } from "./partners.ts";
import { type EndParts, type FifoEndOptions, Mode } from "./parts.ts";
import { Reading } from "./reading.ts";
import { Writing } from "./writing.ts";

export class FifoEnd implements FifoListener, EndParts {
  readonly options: FifoEndOptions;
  readonly line = new FifoLine(this);
  mode: Mode = Mode.OFF;
  readonly end: OwnEnd;
  wait: Wait | undefined;
  isOver = false;
  readonly #reading = new Reading(this);
  readonly #writing = new Writing(this);

  constructor(options: FifoEndOptions) {
    this.options = options;
    this.end = new OwnEnd(options.loop, (events) => this.#onEvents(events));
  }

  onWord(word: number): void {
    switch (word) {
      case FifoWord.READ:
        this.#read();
        break;
      case FifoWord.WRITE:
        this.#expect(word, Mode.OFF, Mode.GIVEN, Mode.DRAINING);
        if (this.mode === Mode.GIVEN) this.#reading.putBack(true);
        this.#write();
        break;
      case FifoWord.TRY:
        this.#expect(word, Mode.OFF, Mode.GIVEN, Mode.READING, Mode.DRAINING);
        if (this.mode === Mode.GIVEN) this.#reading.putBack(false);
        this.#try();
        break;
      case FifoWord.RELEASE:
        this.#expect(word, Mode.READING, Mode.AWAITING, Mode.WRITING);
        if (this.mode === Mode.READING) this.#reading.release();
        else this.#writing.release();
        break;
      case FifoWord.GIVEN:
        this.#expect(word, Mode.GIVING);
        this.#reading.given();
        break;
      default:
        throw new ProtocolError(`word ${word} on the stream of a FIFO`);
    }
  }

  onBytes(bytes: Uint8Array, address: number): void {
    switch (this.mode) {
      case Mode.AWAITING:
      case Mode.WRITING:
      case Mode.DRAINING:
        this.#writing.take(bytes, address);
        break;
      case Mode.GIVING:
        this.#reading.take(bytes);
        break;
      default:
        throw new ProtocolError("data for a FIFO that is not open for it");
    }
  }

  onRoom(): void {
    if (this.mode === Mode.READING) this.#reading.pull();
  }

  onGone(): void {
    this.close();
  }

  /** Lets go of everything. */
  close(): void {
    if (this.isOver) return;
    this.#reading.close();
    this.isOver = true;
    this.end.close();
    this.#writing.close();
    const { wait } = this;
    this.wait = undefined;
    if (wait === undefined) this.options.ended();
    else wait.cancel(() => this.options.ended());
  }

  /** Another client has readers from now on: no event of the kernel's tells us of what we have opened. */
  othersRead(): void {
    if (this.mode === Mode.READING) this.#reading.othersRead();
  }

  #onEvents(events: number): void {
    if (this.mode === Mode.READING) this.#reading.onEvents();
    else this.#writing.onEvents(events);
  }

  #expect(word: number, ...modes: Mode[]): void {
    if (!modes.includes(this.mode)) {
      throw new ProtocolError(`word ${word} on the stream of a FIFO that is ${this.mode}`);
    }
  }

  open(flags: number): number {
    return openat(AT_FDCWD, cstring(this.options.path), flags | O_NONBLOCK | O_CLOEXEC, 0);
  }

  replace(fd: number): boolean {
    if (fd < 0) {
      this.fail(-fd);
      return false;
    }
    this.end.close();
    this.end.fd = fd;
    return true;
  }

  fail(errno: number): void {
    this.options.log(`A FIFO cannot be opened: errno ${errno}`);
    this.line.fail(errno);
    this.close();
  }

  unwait(then: (came: boolean | undefined) => void): void {
    const { wait } = this;
    if (wait === undefined) {
      then(false);
      return;
    }
    wait.cancel((came) => {
      if (this.isOver || this.wait !== wait) return;
      this.wait = undefined;
      then(came);
    });
  }

  #read(): void {
    this.#expect(FifoWord.READ, Mode.OFF, Mode.READING, Mode.GIVEN, Mode.AWAITING, Mode.WRITING);
    if (this.mode === Mode.READING) this.#reading.again();
    else this.#reading.begin(this.#writing.takeBacklog());
  }

  #write(): void {
    const errno = this.mode === Mode.DRAINING ? 0 : this.#openToWrite();
    if (errno === 0) this.#writing.begin(FifoWord.READERS);
    else if (errno === E.ENXIO) this.#writing.awaitReader();
    else this.fail(errno);
  }

  /** ENXIO: nobody reads; the write end may be open then nevertheless. */
  #openToWrite(): number {
    const fd = this.open(O_WRONLY);
    const hadBoth = this.#reading.letGoOfKept();
    if (fd < 0) return -fd;
    this.replace(fd);
    return hadBoth && (pollNow(fd) & POLLERR) !== 0 ? E.ENXIO : 0;
  }

  #try(): void {
    if (this.mode === Mode.READING) {
      this.#reading.try((fd) => {
        if (this.replace(fd)) this.#writing.begin(FifoWord.TAKEN);
      });
      return;
    }
    const errno = this.mode === Mode.DRAINING ? 0 : this.#openToWrite();
    if (errno === 0) this.#writing.begin(FifoWord.TAKEN);
    else if (errno === E.ENXIO) {
      this.end.close();
      this.line.say(FifoWord.NOBODY);
    } else this.fail(errno);
  }
}

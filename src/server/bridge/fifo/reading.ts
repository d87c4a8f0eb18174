/** The server's end of a FIFO while it reads from the HOST's, and gives back what was not read. */

import { Pulled } from "../../../bridge/fifoline.ts";
import type { Held } from "../../../bridge/holders.ts";
import { hasWriters, pollNow } from "../../../bridge/pipeends.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import { read } from "../../../sys/io.ts";
import { O_RDONLY } from "../../../sys/open.ts";
import { POLLHUP, POLLIN } from "../../../sys/poll.ts";
import { FifoWord } from "../../../wire/streams.ts";
import { BothEnds } from "./both.ts";
import { type EndParts, Mode } from "./parts.ts";
import { Unread } from "./unread.ts";

const NONE = -1;
/** By then an open(2) that need not wait is over. */
const DOUBT_MS = 10;

export class Reading {
  readonly #parts: EndParts;
  /** While both ends are open on the DPU. */
  readonly #both: BothEnds;
  readonly #unread: Unread;
  /** Whether the HOST has a writer, as the client was told. */
  #hasWriter = false;
  /** What tells of that writer is data alone, which a former one may have left. */
  #isDoubtful = false;
  #cancelDoubt = () => {};

  constructor(parts: EndParts) {
    this.#parts = parts;
    this.#both = new BothEnds(parts, (held) => this.#came(held));
    this.#unread = new Unread(parts);
  }

  /** READ; what was on its way to readers, `late`, is after what is in the pipe. */
  begin(late: Uint8Array): void {
    const parts = this.#parts;
    const fd = parts.open(O_RDONLY);
    if (fd < 0) {
      parts.fail(-fd);
      return;
    }
    const wasOff = parts.mode === Mode.OFF;
    if (!wasOff) this.#unread.resume(fd, late);
    parts.replace(fd);
    parts.mode = Mode.READING;
    this.#hasWriter = false;
    parts.options.reads();
    parts.unwait(() => {
      this.letGoOfKept();
      if (wasOff || this.#reopen()) this.#begun();
    });
  }

  /** READ while it reads: nobody writes on the DPU any more. */
  again(): void {
    if (!this.#both.isHeld) {
      this.#parts.line.say(this.#hasWriter ? FifoWord.WRITERS : FifoWord.NO_WRITERS);
      return;
    }
    this.#both.letGo();
    if (this.#reopen()) this.#begun();
  }

  #begun(): void {
    const { end, line, options } = this.#parts;
    const isDoubtful = !this.#unread.any && pollNow(end.fd) === POLLIN;
    if (isDoubtful && options.partners.isAsync) this.#doubt();
    else if (this.#unread.any || this.#findsWriter()) this.#writerCame();
    else {
      line.say(FifoWord.NO_WRITERS);
      this.#awaitWriter(EPOLLIN);
    }
  }

  /** There is data, which may be a former writer's that other readers keep: an open(2) that does not wait tells. */
  #doubt(): void {
    const { line, options } = this.#parts;
    this.#cancelDoubt = options.loop.after(DOUBT_MS, () => line.say(FifoWord.NO_WRITERS));
    this.#awaitWriter(0);
  }

  /** Whether anybody has it open for writing, or has had since we opened it. */
  #findsWriter(): boolean {
    const { fd } = this.#parts.end;
    return (pollNow(fd) & (POLLIN | POLLHUP)) !== 0 || hasWriters(fd) !== false;
  }

  /** Waits for a writer, or for `events` of what is open already; a hang-up is one. */
  #awaitWriter(events: number): void {
    const parts = this.#parts;
    const { partners, path } = parts.options;
    parts.end.watch(events);
    parts.wait = partners.forWriter(
      path,
      () => this.#findsWriter(),
      () => {
        if (!parts.end.isOpen) return;
        const isThere = events === 0 ? hasWriters(parts.end.fd) === true : this.#findsWriter();
        if (isThere) this.#writerCame();
      },
      () => {
        parts.wait = undefined;
        if (!parts.isOver && parts.mode === Mode.READING) this.#writerCame();
      },
    );
  }

  #writerCame(): void {
    if (this.#hasWriter) return;
    const { end, line } = this.#parts;
    this.#cancelDoubt();
    this.#hasWriter = true;
    this.#isDoubtful = hasWriters(end.fd) === undefined;
    line.say(FifoWord.WRITERS);
    this.pull();
  }

  /** Events of our end. */
  onEvents(): void {
    const { end } = this.#parts;
    if (this.#hasWriter) this.pull();
    else if (this.#both.isHeld) {
      this.#both.letGo();
      this.#writerCame();
    } else {
      // Who came and went before the open(2) that waits for writers was under way is seen here.
      end.unwatch();
      this.#parts.unwait(() => this.#writerCame());
    }
  }

  pull(): void {
    if (!this.#hasWriter) return;
    const { end, line } = this.#parts;
    this.#unread.send();
    const found = line.pull((address, max) => read(end.fd, address, max));
    if (found === Pulled.BLOCKED) end.unwatch();
    else if (found === Pulled.END || this.#isMistaken(found)) this.#writersLeft();
    else if (found >= 0) end.watch(EPOLLIN);
    else this.#parts.fail(-found);
  }

  /** Whether what was found, which is all there is, was left by a former writer: no event tells that nobody writes. */
  #isMistaken(found: number): boolean {
    if (!this.#isDoubtful || found < 0) return false;
    const isThere = hasWriters(this.#parts.end.fd);
    this.#isDoubtful = isThere === undefined;
    return isThere === false;
  }

  #writersLeft(): void {
    const { end, line } = this.#parts;
    end.unwatch();
    this.#hasWriter = false;
    line.say(FifoWord.NO_WRITERS);
    // The kernel may still be about to tell of one that has been seen.
    this.#parts.unwait(() => {
      if (this.#parts.mode === Mode.READING) this.#readOn();
    });
  }

  #readOn(): void {
    if (!this.#reopen()) return;
    if (this.#findsWriter()) this.#writerCame();
    else this.#awaitWriter(EPOLLIN);
  }

  /** A hang-up that was told is told for ever; a new descriptor tells of the next one. */
  #reopen(): boolean {
    return this.#parts.replace(this.#parts.open(O_RDONLY));
  }

  // While both ends are open on the DPU.

  /** TRY: reads no more, looks whether anybody else does, and reads on if not; `taken` has the write end. */
  try(taken: (fd: number) => void): void {
    const parts = this.#parts;
    if (this.#hasWriter) {
      parts.line.say(FifoWord.NOBODY);
      return;
    }
    this.#cancelDoubt();
    parts.unwait((came) => {
      const hasLeft = (pollNow(parts.end.fd) & POLLHUP) !== 0;
      if (hasLeft || (came ?? this.#findsWriter())) {
        this.#writerCame();
        parts.line.say(FifoWord.NOBODY);
      } else this.#tryInstead(taken);
    });
  }

  #tryInstead(taken: (fd: number) => void): void {
    const { end, line } = this.#parts;
    const fd = this.#both.look();
    if (fd >= 0) taken(fd);
    else if (fd !== NONE) this.#parts.fail(-fd);
    else if (end.isOpen) {
      line.say(FifoWord.NOBODY);
      if (this.#both.isTold) end.watch(EPOLLIN);
      else {
        this.#both.letGo();
        this.#readOn();
      }
    }
  }

  /** A process of the HOST's has opened it; of one that has it open for both, what is written first tells. */
  #came({ reads, writes }: Held): void {
    const { line, mode } = this.#parts;
    if (!this.#both.isHeld || mode !== Mode.READING) return;
    if (!writes) line.say(FifoWord.READERS);
    else if (!reads) {
      this.#both.letGo();
      this.#writerCame();
    }
  }

  /** Another client has readers: ours may have written to its own pipe what is for them. */
  othersRead(): void {
    if (!this.#hasWriter) this.#parts.line.say(FifoWord.READERS);
  }

  // Giving back.

  /** RELEASE. */
  release(): void {
    const parts = this.#parts;
    this.#cancelDoubt();
    this.#both.letGo();
    parts.end.unwatch();
    parts.mode = Mode.GIVING;
    parts.wait?.cancel(() => {});
    parts.wait = undefined;
    parts.line.say(FifoWord.RELEASED);
  }

  /** Data that was not read there. */
  take(bytes: Uint8Array): void {
    this.#unread.take(bytes);
  }

  /** GIVEN. */
  given(): void {
    this.#parts.mode = Mode.GIVEN;
    this.#unread.given(() => this.putBack(false));
  }

  /** What was not read there goes back; `stays`: a writer of the DPU's wants to have it open at once. */
  putBack(stays: boolean): void {
    this.#unread.putBack(this.#hasWriter, stays);
  }

  /** Closes what kept the data that was put back; whether there was anything. */
  letGoOfKept(): boolean {
    return this.#unread.letGoOfKept();
  }

  /** Lets go of everything. */
  close(): void {
    if (this.#parts.mode === Mode.GIVEN) this.putBack(false);
    this.#cancelDoubt();
    this.#both.letGo();
    this.#unread.close();
  }
}

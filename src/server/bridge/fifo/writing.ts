/** The server's end of a FIFO while it writes to the HOST's, or waits for a reader there. */
import { Backlog } from "../../../bridge/backlog.ts";
import { EPOLLERR, EPOLLOUT } from "../../../sys/epoll.ts";
import { E } from "../../../sys/errno.ts";
import { write } from "../../../sys/io.ts";
import { close } from "../../../sys/open.ts";
import { FifoWord } from "../../../wire/streams.ts";
import { type EndParts, Mode } from "./parts.ts";

export class Writing {
  readonly #parts: EndParts;
  /** Data for the pipe that it has not taken; its credit is not given back. */
  readonly #backlog = new Backlog();

  constructor(parts: EndParts) {
    this.#parts = parts;
  }

  /** Writes to our end, which is open; `word` says so. */
  begin(word: number): void {
    this.#parts.mode = Mode.WRITING;
    this.#parts.line.say(word);
    this.#flush();
  }

  awaitReader(): void {
    const parts = this.#parts;
    parts.mode = Mode.AWAITING;
    parts.line.say(FifoWord.NO_READERS);
    // The kernel may still be about to tell of one that was seen.
    parts.unwait(() => {
      if (parts.mode === Mode.AWAITING) this.#wait();
    });
  }

  #wait(): void {
    const parts = this.#parts;
    const { partners, path } = parts.options;
    const came = (fd: number) => {
      if (parts.isOver) {
        if (fd >= 0) close(fd);
      } else if (parts.replace(fd)) this.begin(FifoWord.READERS);
    };
    const early = (fd: number) => {
      parts.unwait(() => {});
      came(fd);
    };
    parts.wait = partners.forReader(path, early, (fd) => {
      parts.wait = undefined;
      came(fd);
    });
  }

  /** Events of our end. */
  onEvents(events: number): void {
    if ((events & EPOLLERR) !== 0) this.#left();
    else this.#flush();
  }

  /** Data has come, while nobody reads or somebody does. */
  take(bytes: Uint8Array, address: number): void {
    const { end, line, mode } = this.#parts;
    if (mode === Mode.AWAITING) {
      this.#backlog.put(bytes);
      return;
    }
    let wrote = 0;
    if (this.#backlog.length === 0) {
      wrote = write(end.fd, address, bytes.length);
      if (wrote === -E.EPIPE) {
        this.#backlog.put(bytes);
        this.#left();
        return;
      }
      wrote = Math.max(wrote, 0);
      line.consumed(wrote);
    }
    if (wrote === bytes.length) return;
    this.#backlog.put(bytes.subarray(wrote));
    end.watch(EPOLLOUT);
  }

  #flush(): void {
    const { end, line, mode } = this.#parts;
    while (this.#backlog.length > 0) {
      const { address, length } = this.#backlog;
      const wrote = write(end.fd, address, length);
      if (wrote === -E.EPIPE) {
        this.#left();
        return;
      }
      if (wrote <= 0) break;
      this.#backlog.drop(wrote);
      line.consumed(wrote);
    }
    end.watch(this.#backlog.length > 0 ? EPOLLOUT : 0);
    if (mode === Mode.DRAINING && this.#backlog.length === 0) this.#released();
  }

  /** The last reader has closed it; what is unread stays for the next. */
  #left(): void {
    this.#parts.end.unwatch();
    if (this.#parts.mode === Mode.DRAINING) this.#released();
    else this.awaitReader();
  }

  /** RELEASE. */
  release(): void {
    const parts = this.#parts;
    if (parts.mode === Mode.AWAITING) parts.unwait(() => this.#released());
    else {
      parts.mode = Mode.DRAINING;
      this.#flush();
    }
  }

  #released(): void {
    const { end, line } = this.#parts;
    // One kernel would not have taken it without a reader; to put it there would let writers in.
    this.#dropBacklog();
    end.close();
    this.#parts.mode = Mode.OFF;
    line.say(FifoWord.RELEASED);
  }

  /** What nobody has taken, which is forgotten here. */
  takeBacklog(): Uint8Array {
    const left = new Uint8Array(this.#backlog.first(this.#backlog.length));
    this.#dropBacklog();
    return left;
  }

  #dropBacklog(): void {
    this.#parts.line.consumed(this.#backlog.length);
    this.#backlog.clear();
  }

  close(): void {
    this.#backlog.clear();
  }
}

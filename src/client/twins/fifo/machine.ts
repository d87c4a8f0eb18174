/**
 * One FIFO of the share, as the DPU's processes have it open: the one place where is decided
 * what is done. Events in, actions out, nothing else; README.md has it as a table.
 *
 * There are two pipes of the kernels', ours and the HOST's, and data goes one way at a time:
 * down (the HOST's writers, our readers) or up. While both ends are open here our kernel
 * pairs them, and data never goes in a circle.
 */
import { FifoWord } from "../../../wire/streams.ts";

/** Where a FIFO is. */
export const At = {
  /** Nobody has it open here; the server does not have it open either. */
  IDLE: "idle",
  /** READ was said. */
  ASKING_READ: "asking read",
  /** The server reads for our readers; the HOST has no writer. */
  DOWN_WAIT: "down, waiting",
  /** The HOST's writers write to our readers. */
  DOWN: "down",
  /** TRY was said while the server reads: whether the HOST has readers for our writers. */
  TRYING_DOWN: "trying, down",
  /** RELEASE was said: what our readers have left unread is to be given back. */
  GIVING: "giving",
  /** WRITE was said. */
  ASKING_WRITE: "asking write",
  /** TRY was said: somebody here opens without waiting (O_WRONLY | O_NONBLOCK). */
  TRYING: "trying",
  /** The server waits for a reader on the HOST. */
  UP_WAIT: "up, waiting",
  /** Our writers write to the HOST's readers. */
  UP: "up",
  /** RELEASE was said: our writers are gone, the HOST's readers have yet to read all. */
  DRAINING: "draining",
  /** There is no connection to the server. */
  AWAY: "away",
} as const;

export type At = (typeof At)[keyof typeof At];

/** A thread that is about to open the FIFO, and whose request is held until it is let. */
export interface Opener {
  readonly id: number;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Whether it waits for the other end (no O_NONBLOCK). */
  readonly waits: boolean;
}

export type FifoEvent =
  | { kind: "open"; opener: Opener }
  /** One that is held has given up. */
  | { kind: "gaveUp"; id: number }
  /** A process here turns out to have it open. */
  | { kind: "found"; reads: boolean; writes: boolean }
  /** No process here has it open for reading any more, or is about to. */
  | { kind: "readersGone" }
  | { kind: "writersGone" }
  /** Both ends are open here, and what was written stays unread. */
  | { kind: "unread" }
  | { kind: "said"; word: number }
  /** The connection is lost for good. */
  | { kind: "lost" }
  /** There is another one. */
  | { kind: "back" };

export type FifoAction =
  /** The opener may go on. */
  | { kind: "let"; id: number }
  | { kind: "say"; word: number }
  /** Open our end for writing, to readers that may be on their way; it takes what comes. */
  | { kind: "openWrite" }
  /** Close it once it has taken all. */
  | { kind: "closeWrite" }
  /** Open our end for reading; what is read goes to the server. */
  | { kind: "openRead" }
  /** Close it once those have come who were let because of it. */
  | { kind: "finishRead" }
  | { kind: "closeRead" }
  /** Take what is unread out of our pipe, and all that still comes. */
  | { kind: "collect" }
  /** Send the server what was collected. */
  | { kind: "give" }
  /** Close our ends at once. */
  | { kind: "closeAll" }
  /** Look whether those that are believed to have it open still do. */
  | { kind: "verify" }
  /** Nobody has it open any more. */
  | { kind: "over" };

type FifoMove = "openWrite" | "closeWrite" | "openRead" | "finishRead" | "verify";

/** What is done when the server says a word, by where the FIFO is; words without an entry crossed with one of ours. */
type Heard = Partial<Record<number, (m: FifoMachine) => void>>;

export class FifoMachine {
  at: At = At.IDLE;
  /** Whether processes here have it open for reading and writing, or are about to. */
  readers = false;
  writers = false;
  #held: Opener[] = [];
  /** Whether the HOST was asked for readers since both ends are open here; the server may hold both there then. */
  #tried = false;
  /** While trying: whether the HOST has writers. */
  #hasPartner = false;
  #actions: FifoAction[] = [];

  /** What is to be done, in this order, because of `event`. */
  step(event: FifoEvent): readonly FifoAction[] {
    this.#actions = [];
    this.#take(event);
    for (let before: At | undefined; before !== this.at; ) {
      before = this.at;
      this.#settle();
    }
    return this.#actions;
  }

  /** Openers that are not let yet. */
  get held(): number {
    return this.#held.length;
  }

  #take(event: FifoEvent): void {
    switch (event.kind) {
      case "open":
        this.#held.push(event.opener);
        break;
      case "gaveUp":
        this.#held = this.#held.filter(({ id }) => id !== event.id);
        break;
      case "found":
        this.readers ||= event.reads;
        this.writers ||= event.writes;
        break;
      case "readersGone":
        this.readers = false;
        break;
      case "writersGone":
        this.writers = false;
        break;
      case "unread":
        this.sought();
        break;
      case "said":
        HEARD[this.at]?.[event.word]?.(this);
        break;
      case "lost":
        this.#do({ kind: "closeAll" });
        this.at = At.AWAY;
        break;
      case "back":
        if (this.at !== At.AWAY) break;
        this.at = At.IDLE;
        this.#do({ kind: "verify" });
    }
  }

  /** Goes on from where the FIFO is as far as that needs no answer. */
  #settle(): void {
    switch (this.at) {
      case At.IDLE:
        this.#begin();
        break;
      case At.DOWN_WAIT:
      case At.DOWN:
        this.#settleDown();
        break;
      case At.TRYING_DOWN:
        this.#admitAll();
        break;
      case At.UP_WAIT:
        this.#admitAll();
        if (!this.writers) this.ask(FifoWord.RELEASE, At.DRAINING);
        else if (this.readers) this.ask(FifoWord.READ, At.ASKING_READ);
        break;
      case At.UP:
        this.#admitAll();
        if (!this.writers) {
          this.#do({ kind: "closeRead" });
          this.ask(FifoWord.RELEASE, At.DRAINING);
        }
        break;
      case At.DRAINING:
        this.#settleDraining();
        break;
      case At.AWAY:
        this.#admitAll();
        if (!this.readers && !this.writers) this.#do({ kind: "over" });
    }
  }

  #begin(): void {
    const first = this.#held[0];
    this.#tried = false;
    if (this.readers || (!this.writers && first?.reads)) this.ask(FifoWord.READ, At.ASKING_READ);
    else if (this.writers || first?.waits) this.ask(FifoWord.WRITE, At.ASKING_WRITE);
    else if (first !== undefined) this.ask(FifoWord.TRY, At.TRYING);
    else this.#do({ kind: "over" });
  }

  #settleDown(): void {
    this.#admitAll();
    if (!this.readers) {
      this.#do({ kind: "collect" });
      this.ask(FifoWord.RELEASE, At.GIVING);
    } else if (!this.writers) this.#writersLeft();
    else if (this.at === At.DOWN_WAIT && !this.#tried) {
      this.#tried = true;
      this.#hasPartner = false;
      this.ask(FifoWord.TRY, At.TRYING_DOWN);
    }
  }

  /** The server is to hold but the read end there. */
  #writersLeft(): void {
    if (this.#tried && this.at === At.DOWN_WAIT) this.#do({ kind: "say", word: FifoWord.READ });
    this.#tried = false;
  }

  /** Whoever comes while the last of another writer's data is on its way. */
  #settleDraining(): void {
    const first = this.#held[0];
    if (first === undefined || first.reads || this.readers) return;
    if (first.waits) this.ask(FifoWord.WRITE, At.ASKING_WRITE);
    else this.ask(FifoWord.TRY, At.TRYING);
  }

  /** Says `word` and goes on to `at`. */
  ask(word: number, at: At): void {
    this.#do({ kind: "say", word });
    this.at = at;
  }

  /** Does `kinds` and goes on to `at`. */
  move(at: At, ...kinds: FifoMove[]): void {
    for (const kind of kinds) this.#do({ kind });
    this.at = at;
  }

  #do(action: FifoAction): void {
    this.#actions.push(action);
  }

  #admitAll(): void {
    for (const opener of this.#held.splice(0)) this.#admit(opener);
  }

  #admit({ id, reads, writes, waits }: Opener): void {
    // Without a reader our kernel refuses it (ENXIO).
    const isRefused = writes && !reads && !waits && (this.at === At.UP_WAIT || this.at === At.AWAY);
    if (!isRefused) {
      this.readers ||= reads;
      this.writers ||= writes;
    }
    this.#do({ kind: "let", id });
  }

  /** The answer to READ has come: those who read are let. */
  reading(at: At): void {
    this.at = at;
    this.#tried = false;
    if (at === At.DOWN) this.#do({ kind: "openWrite" });
    const readers = this.#held.filter(({ reads }) => reads);
    this.#held = this.#held.filter(({ reads }) => !reads);
    for (const opener of readers) this.#admit(opener);
  }

  /** The answer to WRITE has come: those who wait until they can write are let. */
  writing(at: At): void {
    this.at = at;
    if (at === At.UP) this.#do({ kind: "openRead" });
    const writers = this.#held.filter(({ reads, waits }) => !reads && waits);
    this.#held = this.#held.filter(({ reads, waits }) => reads || !waits);
    for (const opener of writers) this.#admit(opener);
  }

  /** Nobody reads on the HOST: who does not wait is refused by our kernel. */
  refuse(): void {
    const first = this.#held.shift();
    if (first !== undefined) this.#do({ kind: "let", id: first.id });
    this.at = At.IDLE;
  }

  /** Whoever does not wait may write. */
  taken(): void {
    const first = this.#held.shift();
    this.move(At.UP, "openRead");
    if (first !== undefined) this.#admit(first);
  }

  /** While it is tried, a writer has come to the HOST or gone. */
  partner(isThere: boolean): void {
    this.#hasPartner = isThere;
    this.#do({ kind: isThere ? "openWrite" : "closeWrite" });
  }

  tried(): void {
    this.at = this.#hasPartner ? At.DOWN : At.DOWN_WAIT;
  }

  /** Readers have come to the HOST, or may have: it is asked once more. */
  sought(): void {
    this.#tried = false;
  }

  left(): void {
    this.#tried = false;
    this.move(At.DOWN_WAIT, "closeWrite", "verify");
  }

  give(): void {
    this.#do({ kind: "give" });
    this.ask(FifoWord.GIVEN, At.IDLE);
  }
}

const HEARD: Readonly<Partial<Record<At, Heard>>> = {
  [At.ASKING_READ]: {
    [FifoWord.WRITERS]: (m) => m.reading(At.DOWN),
    [FifoWord.NO_WRITERS]: (m) => m.reading(At.DOWN_WAIT),
  },
  [At.DOWN_WAIT]: {
    [FifoWord.WRITERS]: (m) => m.move(At.DOWN, "openWrite"),
    [FifoWord.READERS]: (m) => m.sought(),
  },
  [At.DOWN]: { [FifoWord.NO_WRITERS]: (m) => m.left() },
  [At.TRYING_DOWN]: {
    [FifoWord.WRITERS]: (m) => m.partner(true),
    [FifoWord.NO_WRITERS]: (m) => m.partner(false),
    [FifoWord.NOBODY]: (m) => m.tried(),
    [FifoWord.TAKEN]: (m) => m.move(At.UP, "openRead"),
  },
  [At.GIVING]: { [FifoWord.RELEASED]: (m) => m.give() },
  [At.ASKING_WRITE]: {
    [FifoWord.READERS]: (m) => m.writing(At.UP),
    [FifoWord.NO_READERS]: (m) => m.writing(At.UP_WAIT),
  },
  [At.TRYING]: {
    [FifoWord.TAKEN]: (m) => m.taken(),
    [FifoWord.NOBODY]: (m) => m.refuse(),
  },
  [At.UP_WAIT]: { [FifoWord.READERS]: (m) => m.move(At.UP, "openRead") },
  [At.UP]: { [FifoWord.NO_READERS]: (m) => m.move(At.UP_WAIT, "finishRead", "verify") },
  [At.DRAINING]: { [FifoWord.RELEASED]: (m) => m.move(At.IDLE) },
};

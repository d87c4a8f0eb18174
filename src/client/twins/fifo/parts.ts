/** What the parts of a FIFO's service share (fifo.ts). */
import type { FifoLine } from "../../../bridge/fifoline.ts";
import type { Loop } from "../../../bridge/loop.ts";
import type { FifoEvent, FifoMachine } from "./machine.ts";
import type { Presence } from "./presence.ts";

/** An open by io_uring whose direction does not show within this is not of that direction. */
export const UNKNOWN_MS = 50;
/** What was written here and is not read here for so long may be for the HOST. */
export const UNREAD_FIRST_MS = 20;

/** What a FIFO is open for. */
export type What = "reads" | "writes";

/** Where a FIFO is served: what it needs of the twin process. */
export interface FifoWorld {
  readonly loop: Loop;
  /** Opens the FIFO on the mount with O_* `flags`, O_NONBLOCK among them: a descriptor or -errno. */
  open(flags: number, done: (fd: number) => void): void;
  /** Opens a stream to the HOST's for `line`, whose `onGone` is called if it cannot be had. */
  connect(line: FifoLine): void;
  /** The opener's request may be answered. */
  let(id: number): void;
  /** What inotify has told of it so far is of our own making. */
  hush(): void;
  /** Has `written` called from now on: each write(2) costs time. */
  watchWrites(): void;
  /** How /proc calls the inode (holders.ts); undefined until it is known. */
  inode(): string | undefined;
  /** Whether it is not known yet; `placed` is called once it is, or never will be. */
  isPlacing(): boolean;
  /** What came from the HOST's sockets is held until the result is called, or for a moment. */
  hold(): () => void;
  log(text: string): void;
  /** Nobody has it open any more. */
  over(): void;
}

/** Things to be done beside what the machine decides, one after the other with those. */
export type Look =
  | { kind: "lookForReaders" }
  | { kind: "lookForWriters" }
  | { kind: "lookForUnread" }
  /** Try once more to open our write end to who may read. */
  | { kind: "openLate" };

export interface FifoParts {
  readonly world: FifoWorld;
  readonly machine: FifoMachine;
  readonly line: FifoLine;
  readonly presence: Presence;
  /** Whether our ends are open. */
  readonly hasReadEnd: boolean;
  readonly hasWriteEnd: boolean;
  readonly isOver: boolean;
  /** Opens the FIFO here, without blocking; what is to be done next waits for that. */
  open(flags: number, use: (fd: number) => void): void;
  /** Looks for a process that has it open; 0: none has. What is to be done next waits for that. */
  search(what: What, use: (pid: number) => void): void;
  step(event: FifoEvent): void;
  enqueue(look: Look): void;
  /** A thread is not about to open it any more: what our ends say may be another thing now. */
  resolved(): void;
  /** The mount cannot be reached, because of -errno. */
  fail(result: number): void;
}

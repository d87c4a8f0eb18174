/**
 * One FIFO as the twin process serves it: carries out what the machine decides. What has to
 * be opened on the mount is opened by another thread, so one thing is done after the other,
 * and what comes meanwhile waits.
 */
import { Backlog } from "../../../bridge/backlog.ts";
import { FifoLine, type FifoListener, Pulled } from "../../../bridge/fifoline.ts";
import type { Loop } from "../../../bridge/loop.ts";
import { pollNow, takeAll, takeOne, unread } from "../../../bridge/pipeends.ts";
import { EPOLLERR, EPOLLIN, EPOLLOUT } from "../../../sys/epoll.ts";
import { E } from "../../../sys/errno.ts";
import { read, write } from "../../../sys/io.ts";
import { close, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from "../../../sys/open.ts";
import { POLLHUP } from "../../../sys/poll.ts";
import { holds } from "./holders.ts";
import { At, type FifoAction, type FifoEvent, FifoMachine } from "./machine.ts";
import { Openers, type PendingOpener } from "./openers.ts";
import { OwnEnd } from "./ownend.ts";

const NONE = -1;
/** What was written here and is not read here for so long may be for the HOST. */
const UNREAD_FIRST_MS = 20;
const UNREAD_LAST_MS = 1000;
const SHY_LAST_MS = 1;
const SHY_IDLE_MS = 100;
/** After a look that has found somebody: what happened meanwhile may have been missed. */
const AGAIN_FIRST_MS = 200;
const AGAIN_LAST_MS = 5000;
/** After the stream was lost. */
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 2000;
/** An open by io_uring whose direction does not show within this is not of that direction. */
const UNKNOWN_MS = 50;

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
  /** How inotify calls the inode; undefined until it is known. */
  inode(): string | undefined;
  log(text: string): void;
  /** Nobody has it open any more. */
  over(): void;
}

/** Looks beside what the machine decides. */
type Look =
  | { kind: "lookForReaders" }
  | { kind: "lookForWriters" }
  | { kind: "lookForUnread" }
  /** Try once more to open our write end to who may read. */
  | { kind: "openLate" };

/** A thread that is about to open it, as the mount's thread tells. */
export interface FifoOpener extends PendingOpener {
  readonly waits: boolean;
}

export class Fifo implements FifoListener {
  readonly machine = new FifoMachine();
  readonly #world: FifoWorld;
  readonly #openers: Openers;
  /** Processes that have had it open, by what for. */
  readonly #reading = new Set<number>();
  readonly #writing = new Set<number>();
  #line: FifoLine;
  #isConnected = false;
  readonly #queue: (FifoAction | Look)[] = [];
  #isBusy = false;
  #isOver = false;
  /** Our ends. `#stone`: both, open until those who are let have come as far. */
  readonly #readEnd: OwnEnd;
  readonly #writeEnd: OwnEnd;
  #stone = NONE;
  /** The write end is to be closed when it has taken all. */
  #isClosing = false;
  /** It is to be opened yet: who may read has not come. */
  #isLate = false;
  readonly #backlog = new Backlog();
  #isCollecting = false;
  #residue: Uint8Array[] = [];
  #cancelUnread: (() => void) | undefined;
  #watchesWrites = false;
  #unreadMs = UNREAD_FIRST_MS;
  #shyMs = UNREAD_FIRST_MS;
  #cancelAgain: (() => void) | undefined;
  #againMs = AGAIN_FIRST_MS;
  #cancelRetry: (() => void) | undefined;
  #retryMs = RETRY_FIRST_MS;
  /** As a process here sees it; for people. */
  #path = "";
  readonly #since: number;
  /** Bytes of streams that were lost. */
  #received = 0;
  #sent = 0;

  constructor(world: FifoWorld) {
    this.#world = world;
    this.#since = world.loop.nowMs;
    this.#line = new FifoLine(this);
    this.#readEnd = new OwnEnd(world.loop, () => this.#pull());
    this.#writeEnd = new OwnEnd(world.loop, (events) => this.#writable(events));
    this.#openers = new Openers(world.loop, (opener) => this.#resolved(opener));
  }

  get figures() {
    const { at, readers, writers } = this.machine;
    return {
      at,
      readers,
      writers,
      path: this.#path,
      pids: [...new Set([...this.#reading, ...this.#writing])],
      openers: this.#openers.size,
      ageMs: this.#world.loop.nowMs - this.#since,
      received: this.#received + this.#line.received,
      sent: this.#sent + this.#line.sent,
      waiting: this.#backlog.length,
      credit: this.#line.credit,
    };
  }

  /** A thread is about to open it; it waits until it is let. */
  opens(opener: FifoOpener): void {
    this.#openers.add(opener);
    const { id, reads, writes, waits } = opener;
    this.#step({ kind: "open", opener: { id, reads, writes, waits } });
  }

  /** Some process has opened it (inotify). */
  opened(): void {
    this.#openers.look();
  }

  /** Some process has closed it, which may have written to it (inotify). */
  closed(mayWrite: boolean): void {
    const { readers, writers } = this.machine;
    if (mayWrite ? !writers : !readers) return;
    this.#openers.look();
    if (mayWrite && this.#readEnd.isOpen && readers) {
      this.#shyMs = SHY_LAST_MS;
      this.#pull();
    }
    this.#check();
  }

  /** Something was written to it here (inotify). */
  written(): void {
    if (this.#mayBeUnread && this.#cancelUnread === undefined) this.#awaitUnread();
  }

  /** Lets go of everything. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue.length = 0;
    this.#openers.close();
    this.#closeEnds();
    this.#cancelUnread?.();
    this.#cancelAgain?.();
    this.#cancelRetry?.();
    if (this.#isConnected) this.#line.end();
  }

  // From the server.

  onWord(word: number): void {
    this.#retryMs = RETRY_FIRST_MS;
    this.#step({ kind: "said", word });
  }

  onBytes(bytes: Uint8Array, address: number): void {
    if (this.#isCollecting) {
      this.#residue.push(new Uint8Array(bytes));
      this.#line.consumed(bytes.length);
      return;
    }
    const takes = DOWNWARD.has(this.machine.at) || this.#writeEnd.isOpen;
    if (!takes) {
      this.#line.consumed(bytes.length);
      return;
    }
    let wrote = 0;
    if (this.#writeEnd.isOpen && this.#backlog.length === 0) {
      wrote = Math.max(write(this.#writeEnd.fd, address, bytes.length), 0);
      this.#line.consumed(wrote);
    }
    if (wrote === bytes.length) return;
    this.#backlog.put(bytes.subarray(wrote));
    this.#watchWriteEnd();
  }

  onRoom(): void {
    if (this.#readEnd.isOpen) this.#pull();
  }

  onGone(errno: number): void {
    if (this.#isOver) return;
    if (errno !== 0) this.#world.log(`The stream of a FIFO has ended: errno ${errno}`);
    this.#received += this.#line.received;
    this.#sent += this.#line.sent;
    this.#line = new FifoLine(this);
    this.#isConnected = false;
    this.#step({ kind: "lost" });
    if (this.#isOver) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#world.loop.after(this.#retryMs, () => this.#step({ kind: "back" }));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  // What the machine decides.

  #step(event: FifoEvent): void {
    if (this.#isOver) return;
    this.#queue.push(...this.machine.step(event));
    this.#run();
    if (!this.#mayBeUnread) return;
    if (!this.#watchesWrites) this.#world.watchWrites();
    this.#watchesWrites = true;
    if (this.#cancelUnread === undefined) this.#awaitUnread();
  }

  #run(): void {
    while (!this.#isBusy && !this.#isOver) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#do(next);
    }
  }

  #do(action: FifoAction | Look): void {
    switch (action.kind) {
      case "let":
        this.#world.let(action.id);
        break;
      case "say":
        this.#say(action.word);
        break;
      case "openWrite":
        this.#openWrite();
        break;
      case "closeWrite":
        this.#isClosing = this.#writeEnd.isOpen || this.#isLate;
        this.#closeIfDone();
        break;
      case "openRead":
        this.#openRead();
        break;
      case "closeRead":
        this.#closeRead();
        break;
      case "collect":
        this.#collect();
        break;
      case "give":
        this.#give();
        break;
      case "closeAll":
        this.#closeEnds();
        break;
      case "verify":
        this.#check();
        break;
      case "over":
        this.#overIfSo();
        break;
      case "openLate":
        if (this.#isLate && DOWNWARD.has(this.machine.at)) this.#openToUnknown(true);
        break;
      case "lookForReaders":
        this.#lookForReaders();
        break;
      case "lookForWriters":
        this.#lookForWriters();
        break;
      case "lookForUnread":
        this.#lookForUnread();
    }
  }

  /** Opens the FIFO here; what is to be done next waits for that. */
  #open(flags: number, use: (fd: number) => void): void {
    this.#isBusy = true;
    this.#world.open(flags | O_NONBLOCK, (fd) => {
      this.#isBusy = false;
      if (this.#isOver) {
        if (fd >= 0) close(fd);
        return;
      }
      use(fd);
      this.#run();
    });
  }

  #say(word: number): void {
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.#world.connect(this.#line);
    }
    this.#line.say(word);
  }

  #overIfSo(): void {
    if (this.machine.at !== At.IDLE && this.machine.at !== At.AWAY) return;
    if (this.machine.readers || this.machine.writers || this.machine.held > 0) return;
    if (this.#openers.size > 0) return;
    this.close();
    this.#world.over();
  }

  // Our write end: data of the HOST's.

  #openWrite(): void {
    this.#isClosing = false;
    if (this.#writeEnd.isOpen || this.#isLate) return;
    if (this.#hasUnknown) {
      this.#openToUnknown(false);
      return;
    }
    // Whoever reads may not have come as far as to be seen; with both ends open here it is no matter.
    this.#open(O_RDWR, (stone) => {
      if (stone < 0) {
        this.#fail(stone);
        return;
      }
      this.#stone = stone;
      this.#open(O_WRONLY, (fd) => {
        if (fd < 0) {
          this.#fail(fd);
          return;
        }
        this.#writeEnd.fd = fd;
        this.#flush();
        this.#settleStone();
      });
    });
  }

  /** Both ends of ours would let a writer in, too: who cannot be written to does not read. */
  #openToUnknown(isLast: boolean): void {
    this.#isLate = false;
    this.#open(O_WRONLY, (fd) => {
      if (fd >= 0) {
        this.#writeEnd.fd = fd;
        this.#flush();
      } else if (fd === -E.ENXIO && !isLast) {
        // It may not have been let yet.
        this.#isLate = true;
        this.#world.loop.after(UNKNOWN_MS, () => this.#enqueue({ kind: "openLate" }));
      } else if (fd === -E.ENXIO) {
        for (const opener of this.#openers) if (opener.unknown) opener.reads = false;
        this.#step({ kind: "readersGone" });
      } else this.#fail(fd);
    });
  }

  get #hasUnknown(): boolean {
    for (const opener of this.#openers) if (opener.unknown) return true;
    return false;
  }

  /** Lets go of the reading end of ours once those who read have come. */
  #settleStone(): void {
    if (this.#stone < 0 || !this.#writeEnd.isOpen || this.#waitsFor("reads")) return;
    close(this.#stone);
    this.#stone = NONE;
    this.#watchWriteEnd();
    this.#closeIfDone();
  }

  #writable(events: number): void {
    if ((events & EPOLLERR) !== 0) this.#readersGone();
    else this.#flush();
  }

  #flush(): void {
    while (this.#backlog.length > 0 && this.#writeEnd.isOpen) {
      const { address, length } = this.#backlog;
      const wrote = write(this.#writeEnd.fd, address, length);
      if (wrote <= 0) break;
      this.#backlog.drop(wrote);
      this.#line.consumed(wrote);
    }
    this.#watchWriteEnd();
    this.#closeIfDone();
  }

  #watchWriteEnd(): void {
    this.#writeEnd.watch(this.#backlog.length > 0 ? EPOLLOUT : 0);
  }

  #closeIfDone(): void {
    if (!this.#isClosing || this.#backlog.length > 0 || this.#stone >= 0 || this.#isLate) return;
    this.#closeWriteEnd();
    this.#check();
  }

  #closeWriteEnd(): void {
    this.#isClosing = false;
    this.#isLate = false;
    this.#writeEnd.close();
    if (this.#stone >= 0) close(this.#stone);
    this.#stone = NONE;
  }

  /** Nobody reads here, as our write end says. */
  #readersGone(): void {
    this.#writeEnd.unwatch();
    this.#openers.look();
    if (!this.#writeEnd.isOpen || this.#waitsFor("reads")) return;
    if (this.#isClosing) {
      // The HOST's writers are gone, too: what was left in the pipe is nobody's.
      this.#dropBacklog();
      this.#closeWriteEnd();
    }
    this.#reading.clear();
    this.#step({ kind: "readersGone" });
  }

  #dropBacklog(): void {
    this.#line.consumed(this.#backlog.length);
    this.#backlog.clear();
  }

  #collect(): void {
    this.#isCollecting = true;
    const late = new Uint8Array(this.#backlog.first(this.#backlog.length));
    this.#dropBacklog();
    this.#residue.push(late);
    if (!this.#writeEnd.isOpen) return;
    this.#open(O_RDONLY, (fd) => {
      if (fd >= 0) {
        this.#residue.unshift(...takeAll(fd));
        close(fd);
      }
      this.#closeWriteEnd();
    });
  }

  #give(): void {
    for (const part of this.#residue) this.#line.send(part);
    this.#residue = [];
    this.#isCollecting = false;
  }

  // Our read end: data for the HOST.

  #openRead(): void {
    if (this.#readEnd.isOpen) return;
    this.#open(O_RDONLY, (fd) => {
      if (fd < 0) {
        this.#fail(fd);
        return;
      }
      this.#readEnd.fd = fd;
      if (this.#hasUnknown) this.#world.loop.after(UNKNOWN_MS, () => this.#lookAtEnds());
      this.#pull();
    });
  }

  #pull(): void {
    const { fd } = this.#readEnd;
    if (this.machine.readers) {
      this.#pullShyly();
      return;
    }
    const found = this.#line.pull((address, max) => read(fd, address, max));
    if (found === Pulled.ALL || found === Pulled.SOME) this.#readEnd.watch(EPOLLIN);
    else if (found === Pulled.BLOCKED) this.#readEnd.unwatch();
    else this.#writersGone();
  }

  /** Others read here, too: only what they leave for a while is taken. */
  #pullShyly(): void {
    const { fd } = this.#readEnd;
    this.#readEnd.unwatch();
    this.#cancelUnread?.();
    const before = unread(fd);
    this.#cancelUnread = this.#world.loop.after(this.#shyMs, () => {
      this.#cancelUnread = undefined;
      if (this.#readEnd.fd !== fd) return;
      const isLeft = unread(fd) >= before;
      // The longer nobody else reads, the less they are waited for.
      if (before === 0) this.#shyMs = Math.min(this.#shyMs * 2, SHY_IDLE_MS);
      else this.#shyMs = isLeft ? Math.max(this.#shyMs / 2, SHY_LAST_MS) : UNREAD_FIRST_MS;
      let found: number = Pulled.ALL;
      if (before > 0 && isLeft) {
        found = this.#line.pull((address, max) => read(fd, address, Math.min(max, before)));
      } else if (before === 0 && unread(fd) === 0) {
        const [got, byte] = takeOne(fd);
        if (got === 0) found = Pulled.END;
        else if (got > 0) this.#line.send(byte);
      }
      if (found === Pulled.END) this.#writersGone();
      else this.#pull();
    });
  }

  #closeRead(): void {
    this.#readEnd.close();
  }

  /** Nobody writes here, as our read end says. */
  #writersGone(): void {
    this.#readEnd.unwatch();
    this.#openers.look();
    if (!this.#readEnd.isOpen || this.#waitsFor("writes")) return;
    this.#writing.clear();
    this.#step({ kind: "writersGone" });
  }

  #closeEnds(): void {
    this.#closeWriteEnd();
    this.#closeRead();
    this.#backlog.clear();
    this.#residue = [];
    this.#isCollecting = false;
  }

  /** The mount cannot be reached: nothing can be done for this FIFO any more. */
  #fail(result: number): void {
    this.#world.log(`A FIFO cannot be opened on the mount: errno ${-result}`);
    this.#line.fail(E.EIO);
    this.#isConnected = false;
    this.#line = new FifoLine(this);
    this.#step({ kind: "lost" });
  }

  // Who has it open here.

  #waitsFor(what: "reads" | "writes"): boolean {
    for (const opener of this.#openers) if (opener[what]) return true;
    return false;
  }

  /** A thread is not about to open it any more: it has, or has given up. */
  #resolved(opener: PendingOpener): void {
    if (this.#isOver) return;
    const inode = this.#world.inode();
    const held = inode === undefined ? undefined : holds(opener.pid, inode);
    const { reads, writes } = held ?? opener;
    if (held?.path) this.#path = held.path;
    if (reads) this.#reading.add(opener.pid);
    if (writes) this.#writing.add(opener.pid);
    this.#step({ kind: "gaveUp", id: opener.id });
    if (reads || writes) this.#step({ kind: "found", reads, writes });
    this.#settleStone();
    this.#lookAtEnds();
    this.#check();
    this.#overIfSo();
  }

  /** What our ends say may be believed by now. */
  #lookAtEnds(): void {
    if (this.#isOver) return;
    for (const opener of this.#openers) {
      if (!opener.unknown) continue;
      if (this.#writeEnd.isOpen) opener.reads = false;
      if (this.#readEnd.isOpen) opener.writes = false;
    }
    this.#settleStone();
    this.#watchWriteEnd();
    if (this.#readEnd.isOpen) this.#pull();
  }

  #stillHave(pids: Set<number>, what: "reads" | "writes"): boolean {
    const inode = this.#world.inode();
    for (const pid of pids) {
      if (inode !== undefined && holds(pid, inode)[what]) return true;
      pids.delete(pid);
    }
    return false;
  }

  /** Looks whether those still have it open who are believed to; what our open ends tell is known anyhow. */
  #check(): void {
    if (this.#isOver) return;
    const { machine } = this;
    const hasNone = !this.#readEnd.isOpen && !this.#writeEnd.isOpen;
    const hasNoReaders =
      machine.readers && !this.#waitsFor("reads") && !this.#stillHave(this.#reading, "reads");
    if (hasNoReaders) {
      if (hasNone) this.#enqueue({ kind: "lookForReaders" });
      else if (!this.#writeEnd.isOpen) this.#step({ kind: "readersGone" });
    }
    const hasNoWriters =
      machine.writers && !this.#waitsFor("writes") && !this.#stillHave(this.#writing, "writes");
    if (hasNoWriters) {
      if (hasNone) this.#enqueue({ kind: "lookForWriters" });
      else if (!this.#readEnd.isOpen) this.#step({ kind: "writersGone" });
    }
  }

  #enqueue(look: Look): void {
    if (this.#queue.some(({ kind }) => kind === look.kind)) return;
    this.#queue.push(look);
    this.#run();
  }

  get #isUntouched(): boolean {
    return !this.#readEnd.isOpen && !this.#writeEnd.isOpen;
  }

  /** Opens the FIFO for writing, which only goes where somebody reads. */
  #lookForReaders(): void {
    if (!this.#isUntouched || !this.machine.readers || this.#waitsFor("reads")) return;
    this.#open(O_WRONLY, (fd) => {
      if (fd >= 0) {
        close(fd);
        this.#world.hush();
        this.#lookAgain();
      } else if (fd === -E.ENXIO && !this.#waitsFor("reads")) this.#step({ kind: "readersGone" });
    });
  }

  /**
   * Opens the FIFO for reading, and for writing for a moment: with that a hang-up of before is
   * told (pipe_poll in fs/pipe.c), and nothing is taken from who reads. It would let go those
   * who are still about to open it for reading.
   */
  #lookForWriters(): void {
    if (!this.#isUntouched || !this.machine.writers || this.#waitsFor("writes")) return;
    if (this.#waitsFor("reads")) {
      this.#lookAgain();
      return;
    }
    this.#open(O_RDONLY, (reading) => {
      if (reading < 0) return;
      this.#open(O_WRONLY, (writing) => {
        if (writing >= 0) close(writing);
        const isGone = (pollNow(reading) & POLLHUP) !== 0;
        close(reading);
        this.#world.hush();
        if (!isGone) this.#lookAgain();
        else if (!this.#waitsFor("writes")) this.#step({ kind: "writersGone" });
      });
    });
  }

  /** Somebody has it open of whom nothing is known, and may have closed it while we looked. */
  #lookAgain(): void {
    this.#cancelAgain?.();
    this.#cancelAgain = this.#world.loop.after(this.#againMs, () => this.#check());
    this.#againMs = Math.min(this.#againMs * 2, AGAIN_LAST_MS);
  }

  // Both ends are open here.

  get #mayBeUnread(): boolean {
    const { at, readers, writers } = this.machine;
    return at === At.DOWN_WAIT && readers && writers;
  }

  #awaitUnread(): void {
    this.#cancelUnread = this.#world.loop.after(this.#unreadMs, () => {
      this.#cancelUnread = undefined;
      if (this.#mayBeUnread) this.#enqueue({ kind: "lookForUnread" });
    });
  }

  #lookForUnread(): void {
    if (!this.#isUntouched || !this.#mayBeUnread) return;
    if (this.#hasUnknown) {
      // What may only be a reader must not be let in by a look.
      this.#unreadMs = Math.min(this.#unreadMs * 2, UNREAD_LAST_MS);
      this.#step({ kind: "unread" });
      return;
    }
    this.#open(O_WRONLY, (fd) => {
      const bytes = fd < 0 ? 0 : unread(fd);
      if (fd >= 0) close(fd);
      this.#world.hush();
      this.#unreadMs = bytes > 0 ? Math.min(this.#unreadMs * 2, UNREAD_LAST_MS) : UNREAD_FIRST_MS;
      if (bytes > 0) this.#step({ kind: "unread" });
    });
  }
}

/** Where data that comes is for our readers. */
const DOWNWARD: ReadonlySet<At> = new Set([At.DOWN, At.DOWN_WAIT, At.TRYING_DOWN, At.GIVING]);

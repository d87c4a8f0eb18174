/**
 * One FIFO as the twin process serves it: carries out what the machine decides. What has to
 * be opened on the mount is opened by another thread, so one thing is done after the other,
 * and what comes meanwhile waits.
 */
import { FifoLine, type FifoListener } from "../../../bridge/fifoline.ts";
import { E } from "../../../sys/errno.ts";
import { close, O_NONBLOCK } from "../../../sys/open.ts";
import { DownEnd } from "./down.ts";
import { At, type FifoAction, type FifoEvent, FifoMachine } from "./machine.ts";
import type { PendingOpener } from "./openers.ts";
import type { FifoParts, FifoWorld, Look, What } from "./parts.ts";
import { Presence } from "./presence.ts";
import { search } from "./search.ts";
import { UpEnd } from "./up.ts";

/** After the stream was lost. */
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 2000;

/** A thread that is about to open it, as the mount's thread tells. */
export interface FifoOpener extends PendingOpener {
  readonly waits: boolean;
}

export class Fifo implements FifoListener, FifoParts {
  readonly world: FifoWorld;
  readonly machine = new FifoMachine();
  readonly presence: Presence;
  line: FifoLine;
  isOver = false;
  readonly #down: DownEnd;
  readonly #up: UpEnd;
  #isConnected = false;
  readonly #queue: (FifoAction | Look)[] = [];
  #isBusy = false;
  /** What the HOST sends after an end there was opened waits until ours is. */
  #letGo: (() => void) | undefined;
  #cancelRetry = () => {};
  #retryMs = RETRY_FIRST_MS;
  readonly #since: number;
  /** Bytes of streams that were lost. */
  #received = 0;
  #sent = 0;

  constructor(world: FifoWorld) {
    this.world = world;
    this.#since = world.loop.nowMs;
    this.line = new FifoLine(this);
    this.presence = new Presence(this);
    this.#down = new DownEnd(this);
    this.#up = new UpEnd(this);
  }

  get figures() {
    const { path, pids, openers } = this.presence;
    return {
      ...{ at: this.machine.at, path, pids, openers },
      ageMs: this.world.loop.nowMs - this.#since,
      received: this.#received + this.line.received,
      sent: this.#sent + this.line.sent,
      waiting: this.#down.waiting,
      credit: this.line.credit,
    };
  }

  get hasReadEnd(): boolean {
    return this.#up.isOpen;
  }

  get hasWriteEnd(): boolean {
    return this.#down.isOpen;
  }

  /** A thread is about to open it; it waits until it is let. */
  opens(opener: FifoOpener): void {
    this.presence.add(opener);
    const { id, reads, writes, waits } = opener;
    this.step({ kind: "open", opener: { id, reads, writes, waits } });
  }

  /** Some process has opened it (inotify). */
  opened(): void {
    this.presence.look();
  }

  /** Some process has closed it, which may have written to it (inotify). */
  closed(mayWrite: boolean): void {
    const { readers, writers } = this.machine;
    if (mayWrite ? !writers : !readers) return;
    this.presence.look();
    if (mayWrite) this.#up.hurry();
    this.presence.check();
  }

  /** Its inode is known, or never will be: who has it open can be looked for. */
  placed(): void {
    this.presence.check();
  }

  /** Something was written to it here (inotify). */
  written(): void {
    this.presence.awaitUnread();
  }

  /** Lets go of everything. */
  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#holdNoMore();
    this.#queue.length = 0;
    this.presence.close();
    this.#closeEnds();
    this.#cancelRetry();
    if (this.#isConnected) this.line.end();
  }

  // From the server.

  onWord(word: number): void {
    this.#retryMs = RETRY_FIRST_MS;
    this.step({ kind: "said", word });
  }

  onBytes(bytes: Uint8Array, address: number): void {
    this.#down.take(bytes, address);
  }

  onRoom(): void {
    this.#up.pull();
  }

  onGone(errno: number): void {
    if (this.isOver) return;
    if (errno !== 0) this.world.log(`The stream of a FIFO has ended: errno ${errno}`);
    this.#renew();
    if (this.isOver) return;
    this.#cancelRetry();
    this.#cancelRetry = this.world.loop.after(this.#retryMs, () => this.step({ kind: "back" }));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  /** The stream is of no use any more: another one is to be had. */
  #renew(): void {
    this.#received += this.line.received;
    this.#sent += this.line.sent;
    this.line = new FifoLine(this);
    this.#isConnected = false;
    this.step({ kind: "lost" });
  }

  // What is to be done.

  step(event: FifoEvent): void {
    if (this.isOver) return;
    const actions = this.machine.step(event);
    if (actions.some(({ kind }) => this.#isMeeting(kind))) this.#letGo ??= this.world.hold();
    this.#queue.push(...actions);
    this.#run();
    if (!this.isOver) this.presence.awaitUnread();
  }

  /** Whether that lets somebody go on who waits in open(2). */
  #isMeeting(kind: FifoAction["kind"]): boolean {
    if (kind === "openWrite") return this.presence.waitsFor("reads");
    return kind === "openRead" && this.presence.waitsFor("writes");
  }

  #holdNoMore(): void {
    this.#letGo?.();
    this.#letGo = undefined;
  }

  enqueue(look: Look): void {
    if (this.#queue.some(({ kind }) => kind === look.kind)) return;
    this.#queue.push(look);
    this.#run();
  }

  open(flags: number, use: (fd: number) => void): void {
    this.#isBusy = true;
    this.world.open(flags | O_NONBLOCK, (fd) => {
      if (this.isOver && fd >= 0) close(fd);
      this.#goOn(() => use(fd));
    });
  }

  search(what: What, use: (pid: number) => void): void {
    const inode = this.world.inode();
    if (inode === undefined) {
      use(0);
      return;
    }
    this.#isBusy = true;
    search(this.world.loop, inode, what, (pid) => this.#goOn(() => use(pid)));
  }

  /** What the next thing to be done had to wait for is there. */
  #goOn(use: () => void): void {
    this.#isBusy = false;
    if (this.isOver) return;
    use();
    this.#run();
  }

  #run(): void {
    while (!this.#isBusy && !this.isOver) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#do(next);
    }
  }

  #do(action: FifoAction | Look): void {
    if (action.kind === "let") this.world.let(action.id);
    else if (action.kind === "say") this.#say(action.word);
    else this.#does[action.kind]();
  }

  readonly #does: Readonly<
    Record<Exclude<(FifoAction | Look)["kind"], "let" | "say">, () => void>
  > = {
    openWrite: () => this.#down.open(),
    openLate: () => this.#down.openLate(),
    closeWrite: () => this.#down.finish(),
    openRead: () => this.#up.open(),
    finishRead: () => this.#up.finish(),
    closeRead: () => this.#up.close(),
    collect: () => this.#down.collect(),
    give: () => this.#down.give(),
    closeAll: () => this.#closeEnds(),
    verify: () => this.presence.check(),
    over: () => this.#overIfSo(),
    lookForReaders: () => this.presence.lookForReaders(),
    lookForWriters: () => this.presence.lookForWriters(),
    lookForUnread: () => this.presence.lookForUnread(),
  };

  #say(word: number): void {
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.world.connect(this.line);
    }
    this.line.say(word);
  }

  #overIfSo(): void {
    const { at, held, readers, writers } = this.machine;
    if (at !== At.IDLE && at !== At.AWAY) return;
    if (readers || writers || held > 0 || this.presence.openers > 0) return;
    this.close();
    this.world.over();
  }

  #closeEnds(): void {
    this.#down.shut();
    this.#up.close();
  }

  resolved(): void {
    if (this.isOver) return;
    if (this.hasWriteEnd) this.presence.unknownDoNot("reads");
    if (this.hasReadEnd) this.presence.unknownDoNot("writes");
    if (!this.presence.waitsFor("reads") && !this.presence.waitsFor("writes")) this.#holdNoMore();
    this.#down.settleStone();
    this.#up.settle();
    this.#down.watch();
    this.#up.pull();
    this.presence.check();
    this.#overIfSo();
  }

  /** Nothing can be done for this FIFO any more. */
  fail(result: number): void {
    this.world.log(`A FIFO cannot be opened on the mount: errno ${-result}`);
    this.line.fail(E.EIO);
    this.#renew();
  }
}

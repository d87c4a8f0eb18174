/**
 * The thread of a mount: takes the kernel's requests and the server's answers as
 * they come, and turns each into the other. It waits for nothing else.
 */
import { channelOf } from "../fuse/channels.ts";
import { type FuseDevice, UNMOUNTED } from "../fuse/device.ts";
import { INTERRUPT_IN, Opcode } from "../fuse/protocol.ts";
import { At } from "../info/heartbeat.ts";
import { Spin } from "../session/spin.ts";
import { E } from "../sys/errno.ts";
import { POLLIN, POLLOUT, PollSet } from "../sys/poll.ts";
import { CLOSED, type Transport } from "../transport/transport.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { NAME_MAX } from "../wire/limits.ts";
import { Op } from "../wire/ops.ts";
import { BULK_MAX, BULK_MIN, Bulk, BulkAnswer, PEEK_BYTES } from "./bulk.ts";
import { interrupt, releaseTheDying } from "./callers.ts";
import { cleanUp } from "./cleanup.ts";
import type { Client } from "./client.ts";
import { ATTEMPTS_MAX } from "./dialer.ts";
import { answers, fails, forward } from "./dispatch.ts";
import { ANSWERING, ASKING } from "./doing.ts";
import { serveEvent } from "./events.ts";
import { keepAhead } from "./forward/lookahead.ts";
import { sayGoodbye } from "./goodbye.ts";
import { answerInit } from "./init.ts";
import { tellLate } from "./late.ts";
import { Link, type LinkOptions } from "./link.ts";
import type { NoticeQueue } from "./noticequeue.ts";
import { Patience } from "./patience.ts";
import { State } from "./pending.ts";
import { Stall } from "./stall.ts";
import type { KeptChannel } from "./submounts/channelstore.ts";
import { type HostMountNews, HostMounts } from "./submounts/hostmounts.ts";
import type { Orders } from "./submounts/orders.ts";
import { takeOver } from "./takeover.ts";

/** Requests taken in a row before answers are looked at again. */
const TAKE_MAX = 32;
/** How often slow requests and a silent server are looked at. */
const CHECK_MS = 100;
const NS_PER_MS = 1e6;
/** The largest errno that an answer may have (fuse_dev_do_write). */
const ERRNO_MAX = 511;
/**
 * What the kernel is told instead of some errnos of the server: ENOSYS would
 * switch the operation off for the whole mount (fs/fuse), and a handle that the
 * server does not know is a file of a session that it has lost.
 */
const TOLD: ReadonlyMap<number, number> = new Map([
  [E.ENOSYS, E.EOPNOTSUPP],
  [E.EBADF, E.ESTALE],
]);
/** Requests without an answer, and those that succeed whatever has become of the server. */
const SILENT: ReadonlySet<number> = new Set([Opcode.FORGET, Opcode.BATCH_FORGET]);
const CLOSES: ReadonlySet<number> = new Set([Opcode.RELEASE, Opcode.RELEASEDIR, Opcode.FLUSH]);
/** Why a connection ended of which nothing else is known. */
const HUNG_UP = "it hung up";
/** A thread that has not looked for this long was itself stopped: nobody was silent. */
const STOPPED_MS = 1000;

export interface ReactorOptions {
  /** Bound on a server's silence while a request waits; 0 for none. */
  timeoutMs: number;
  log: (level: "info" | "warn" | "error", text: string) => void;
  /** Where the kernel is told what to forget. */
  notices: NoticeQueue;
  /** Called once the kernel has been greeted. */
  ready: () => void;
  /** How the server is found again. */
  link: Pick<LinkOptions, "addresses" | "source" | "facts" | "splits" | "session" | "tell">;
  /** What main has it do about superblocks beside the first, and what main is told of them. */
  orders: Orders;
  mounts: (news: HostMountNews) => void;
}

export class Reactor {
  readonly #client: Client;
  readonly #fuse: FuseDevice;
  readonly #options: ReactorOptions;
  readonly #polls = new PollSet(5 + ATTEMPTS_MAX);
  readonly #link: Link;
  readonly #mounts: HostMounts;
  readonly #spin = new Spin();
  #unmounted = false;
  #checkedNs = 0;
  readonly #patience: Patience;
  readonly #stall: Stall;
  /** Bytes that had gone either way when it was last looked at. */
  #movedBytes = 0;
  readonly #bulk: BulkAnswer;
  /** Slot of the answer that is being spliced. */
  #bulkSlot = 0;
  #replyErrno = 0;
  /** Why the connection ends, if anybody says. */
  #reason = HUNG_UP;

  constructor(client: Client, options: ReactorOptions) {
    this.#client = client;
    this.#fuse = client.fuse;
    this.#options = options;
    this.#bulk = new BulkAnswer(client.fuse);
    this.#stall = new Stall(client);
    this.#mounts = new HostMounts(client, options.link.splits, options.orders, options.mounts);
    const failAll = (errno: number) => this.#failAll(errno);
    this.#patience = new Patience(client, {
      timeoutMs: options.timeoutMs,
      log: options.log,
      suspect: () => this.#link.suspect(),
      failAll,
    });
    this.#link = new Link(client, {
      ...options.link,
      mounts: this.#mounts,
      notices: options.notices,
      log: options.log,
      suspectedInVain: () => this.#patience.suspectedInVain(),
      failAll,
    });
  }

  get #transport(): Transport {
    return this.#client.transport;
  }

  /**
   * Goes on where another process has died, before `run`; the kernel has been greeted
   * already. `kept`: the superblocks beside the first.
   */
  takeOver(kept: readonly KeptChannel[]): void {
    this.#mounts.adopt(kept);
    this.#unmounted = takeOver(this.#client, this.#stall, () => this.#request());
    this.#client.transport.close();
    this.#link.lost("another process had the connection");
    this.#options.ready();
  }

  /** Serves until the file system is unmounted. */
  run(): void {
    const { heartbeat } = this.#client.counters;
    this.#mounts.changed();
    while (true) {
      heartbeat.beat(At.LOOKING);
      let worked = this.#takeAnswers();
      const taken = this.#takeRequests();
      if (taken < 0 || this.#unmounted) break;
      if (taken > 0) worked = true;
      if (this.#stepLink()) worked = true;
      if (this.#mounts.step()) worked = true;
      if (this.#client.twins?.step()) worked = true;
      if (!this.#client.lazy && this.#transport.pending && !this.#transport.flush()) {
        this.#noteClosed();
      }
      if (worked) this.#spin.worked();
      else if (!this.#spin.again()) this.#sleep();
      this.#check();
    }
    const { holds, transport } = this.#client;
    if (!holds && !transport.congested) sayGoodbye(transport);
    this.#link.close();
    this.#bulk.close();
  }

  /** Looks for the server, or goes on with it where the last connection ended. */
  #stepLink(): boolean {
    const { transport } = this.#client;
    const worked = this.#link.step();
    if (this.#client.transport !== transport) {
      this.#bulk.drop();
      this.#patience.begunAnew();
    }
    return worked;
  }

  #takeAnswers(): boolean {
    if (this.#link.away) return false;
    if (this.#bulk.active) return this.#continueBulk();
    const isBulk = this.#client.bulkReads > 0 && this.#transport.splices;
    const got = this.#transport.receive(isBulk ? PEEK_BYTES : undefined);
    if (got === CLOSED) {
      this.#noteClosed();
      return true;
    }
    if (got > 0) {
      this.#heard();
      try {
        while (this.#transport.next()) this.#frame();
        if (isBulk) this.#beginBulk();
      } catch (error) {
        this.#fault(error);
      }
    }
    return got > 0;
  }

  /** Splices the answer whose header has come and whose data is still in the socket. */
  #beginBulk(): void {
    const c = this.#client;
    const transport = this.#transport;
    const have = transport.peek();
    if (have < 0 || transport.kind !== Kind.REPLY) return;
    const length = transport.payloadLength;
    if (length < BULK_MIN || length > BULK_MAX) return;
    const slot = this.#replySlot();
    if (this.#replyErrno !== 0 || c.pending.state[slot] !== State.ASKED) return;
    if (c.pending.opcode[slot] !== Opcode.READ || length > (c.pending.first[slot] as number))
      return;
    transport.reader.finish();
    const { uniqueLow, uniqueHigh } = c.pending;
    this.#bulk.begin(
      uniqueLow[slot] as number,
      uniqueHigh[slot] as number,
      length,
      transport.payloadAddress,
      have,
    );
    transport.dropPeeked();
    c.counters.moved(Op.READ, length);
    this.#bulkSlot = slot;
    this.#continueBulk();
  }

  #continueBulk(): boolean {
    if (this.#client.pending.state[this.#bulkSlot] !== State.ASKED) this.#bulk.discard();
    const before = this.#transport.bytesReceived;
    const outcome = this.#bulk.step(this.#transport);
    if (this.#transport.bytesReceived !== before) this.#heard();
    if (outcome === Bulk.WAIT) return false;
    if (outcome === Bulk.BROKEN) {
      this.#transport.close();
      this.#noteClosed();
      return true;
    }
    this.#finish(this.#bulkSlot, 0);
    return true;
  }

  #frame(): void {
    switch (this.#transport.kind) {
      case Kind.REPLY:
        this.#reply();
        break;
      case Kind.EVENT:
        serveEvent(this.#client, this.#options.notices, this.#mounts);
        break;
      case Kind.GOODBYE: {
        const { reader } = this.#transport;
        reader.array();
        reader.uint();
        this.#reason = `it said goodbye: ${reader.latin1(NAME_MAX)}`;
        this.#transport.close();
        break;
      }
      default:
        throw new ProtocolError(`frame of kind ${this.#transport.kind} is not for a client`);
    }
  }

  /** Slot of the answer in the reader, checked; its errno is left in `#replyErrno`. */
  #replySlot(): number {
    const { reader } = this.#transport;
    reader.array();
    const slot = reader.uint();
    const sequence = reader.uint();
    this.#replyErrno = reader.uint();
    // The kernel would not take the answer, and its caller would wait for ever.
    if (this.#replyErrno > ERRNO_MAX) throw new ProtocolError(`errno ${this.#replyErrno}`);
    if (!this.#client.pending.expects(slot, sequence)) {
      throw new ProtocolError(`answer for idle slot ${slot}`);
    }
    return slot;
  }

  #reply(): void {
    const c = this.#client;
    const slot = this.#replySlot();
    const errno = this.#replyErrno;
    const opcode = c.pending.opcode[slot] as number;
    c.counters.heartbeat.beat(ANSWERING + opcode);
    if (c.pending.state[slot] === State.ASKED) {
      c.pending.state[slot] = State.ANSWERED;
      this.#answer(slot, opcode, errno);
    } else if (c.pending.state[slot] === State.ABANDONED) {
      // Where a LOOKUP was of a node itself, its answer has counted none.
      const op = c.pending.op[slot] as number;
      if (errno === 0 && op !== Op.GETATTR) cleanUp(c, opcode, op);
      // Also after an error: a server that was killed may have done what the next one was told to leave.
      tellLate(c, slot, this.#options.notices);
    } else if (this.#mounts.answer(slot, errno) || c.twins?.answer(slot, errno)) {
      // A question of ours.
    } else if (errno === 0) {
      if (c.pending.op[slot] === Op.READDIR) keepAhead(c, slot);
    }
    this.#finish(slot, errno);
  }

  /** The request of `slot` is over. */
  #finish(slot: number, errno: number): void {
    const { counters, pending } = this.#client;
    const op = pending.op[slot] as number;
    if (errno !== 0) counters.failed(op, errno);
    counters.served(op, Bun.nanoseconds() - (pending.startedNs[slot] as number));
    if (op === Op.READ && (pending.first[slot] as number) >= BULK_MIN) this.#client.bulkReads--;
    this.#client.finish(slot);
    this.#link.progress();
    this.#patience.progress();
  }

  #answer(slot: number, opcode: number, errno: number): void {
    const c = this.#client;
    if (errno === 0) {
      answers[opcode]?.(c, slot);
      return;
    }
    const told = TOLD.get(errno) ?? errno;
    const fail = fails[opcode];
    if (fail !== undefined) fail(c, slot, told);
    else c.answerErrno(slot, told);
  }

  #heard(): void {
    this.#link.trust();
    this.#patience.heard();
  }

  /** Whether another request can be forwarded now. */
  get #hasRoom(): boolean {
    if (this.#link.gone) return true;
    return !this.#patience.isOver && this.#client.hasRoom;
  }

  /** Whether there is anything that the server has yet to do; without one nobody can tell. */
  get #waits(): boolean {
    if (this.#link.gone) return false;
    if (this.#client.holds) return true;
    return this.#client.pending.count > 0 || this.#transport.congested || !this.#stall.isEmpty;
  }

  /** Takes what requests there are: how many, or -1 when unmounted. */
  #takeRequests(): number {
    let taken = 0;
    while (taken < TAKE_MAX && this.#hasRoom) {
      if (!this.#stall.isEmpty && !this.#link.gone) {
        this.#stall.forwardNext();
        taken++;
        continue;
      }
      const length = this.#fuse.next();
      if (length === UNMOUNTED) return -1;
      if (length === 0) break;
      taken++;
      this.#request();
      // A single caller waits for just this: it is sent before looking for more.
      if (this.#client.pending.count === 1) break;
    }
    return taken;
  }

  #request(): void {
    const c = this.#client;
    const { opcode } = this.#fuse;
    c.counters.heartbeat.beat(ASKING + opcode);
    if (opcode === Opcode.INIT) {
      const trouble = answerInit(c);
      if (trouble !== undefined) this.#options.log("error", trouble);
      else if (channelOf(this.#fuse.uniqueHigh) === 0) this.#options.ready();
      return;
    }
    if (opcode === Opcode.INTERRUPT) {
      this.#interrupt(c.u32(INTERRUPT_IN.unique), c.u32(INTERRUPT_IN.unique + 4));
      return;
    }
    if (this.#link.gone) {
      if (!SILENT.has(opcode)) c.answerNow(CLOSES.has(opcode) ? 0 : E.ENOTCONN);
      return;
    }
    const errno = forward(c);
    if (errno !== 0) c.answerNow(errno);
  }

  #interrupt(uniqueLow: number, uniqueHigh: number): void {
    const slot = this.#client.pending.find(uniqueLow, uniqueHigh);
    if (slot >= 0) interrupt(this.#client, slot);
    else this.#stall.interrupt(uniqueLow, uniqueHigh);
    this.#client.twins?.parked.interrupt(uniqueLow, uniqueHigh);
  }

  /** Gives the connection what others need not wait for. */
  #sendOwed(): void {
    let gave = true;
    while (gave) {
      gave = this.#client.sendOwed();
      if (this.#transport.pending && !this.#transport.flush()) {
        this.#noteClosed();
        return;
      }
    }
  }

  #sleep(): void {
    const { notices } = this.#options;
    notices.settle();
    const { twins, watches } = this.#client;
    watches?.settle();
    const polls = this.#polls;
    this.#client.lazy = false;
    this.#sendOwed();
    this.#refreshGauges();
    polls.clear();
    const hasRoom = this.#hasRoom;
    polls.add(hasRoom ? this.#fuse.fd : -1, POLLIN);
    polls.add(hasRoom ? this.#fuse.channels.fd : -1, POLLIN);
    const wake = polls.add(this.#options.orders.wakeFd, POLLIN);
    polls.add(twins?.fd ?? -1, POLLIN);
    const { fd, pending } = this.#transport;
    if (!this.#link.away) polls.add(fd, pending ? POLLIN | POLLOUT : POLLIN);
    this.#link.addTo(polls);
    const isAhead = this.#client.lookahead.active;
    const soon = this.#waits || notices.waits || watches?.waits || twins?.waits || isAhead;
    const dialMs = this.#link.dialing ? this.#link.waitMs : CHECK_MS;
    const { heartbeat } = this.#client.counters;
    heartbeat.beat(At.ASLEEP);
    polls.wait(soon || this.#link.dialing ? Math.min(dialMs, CHECK_MS) : -1);
    if (polls.revents(wake) !== 0) this.#options.orders.drain();
    heartbeat.beat(At.LOOKING);
  }

  #refreshGauges(): void {
    const { counters, pending, locked } = this.#client;
    counters.gauge("BYTES_IN", this.#transport.bytesReceived);
    counters.gauge("BYTES_OUT", this.#transport.bytesSent);
    counters.gauge("WAITING", pending.count);
    counters.gauge("LOCKS", locked.size);
    counters.gauge("REFUSED", this.#fuse.refused);
  }

  /** Looks after callers that die, a server that is silent, and lookups ahead that nobody made. */
  #check(): void {
    const { lookahead, twins } = this.#client;
    if (!this.#waits && !this.#link.away) this.#heard();
    if (!this.#waits && !lookahead.active && !twins?.waits) return;
    const now = Bun.nanoseconds();
    this.#patience.begin(now);
    if (now - this.#checkedNs < CHECK_MS * NS_PER_MS) return;
    if (now - this.#checkedNs > STOPPED_MS * NS_PER_MS) this.#patience.restart(now);
    this.#checkedNs = now;
    this.#refreshGauges();
    lookahead.expire();
    twins?.check();
    if (!this.#waits) return;
    releaseTheDying(this.#client);
    this.#stall.releaseTheDying();
    // In this order: a silence just found too long may be over by the next look.
    this.#checkStall();
    this.#patience.check(now);
  }

  /** Reads the requests that are not forwarded for lack of room, if that has lasted. */
  #checkStall(): void {
    const { bytesReceived, bytesSent } = this.#transport;
    const moved = bytesReceived + bytesSent !== this.#movedBytes;
    this.#movedBytes = bytesReceived + bytesSent;
    if (this.#hasRoom || moved) return;
    const fuse = this.#fuse;
    while (!this.#stall.isFull && !this.#unmounted) {
      const length = fuse.next();
      if (length === 0) break;
      if (length === UNMOUNTED) this.#unmounted = true;
      else if (this.#stall.concerned) this.#stall.take(this.#patience.isOver ? E.EIO : 0);
      else this.#request();
    }
  }

  #failAll(errno: number): void {
    const { pending } = this.#client;
    pending.forEachAsked((slot) => {
      pending.state[slot] = State.ABANDONED;
      this.#client.answerErrno(slot, errno);
    });
    this.#stall.failAll(errno);
    this.#client.twins?.parked.failAll(errno);
  }

  #fault(error: unknown): void {
    const what = error instanceof ProtocolError ? error.message : ((error as Error).stack ?? error);
    this.#reason = `its answer was not understood: ${what}`;
    this.#client.pending.reopen();
    this.#transport.close();
    this.#noteClosed();
  }

  #noteClosed(): void {
    if (this.#link.away || !this.#transport.closed) return;
    this.#bulk.drop();
    this.#link.lost(this.#reason);
    this.#reason = HUNG_UP;
  }
}

/**
 * The mount's connection to its server, over its losses: while there is none,
 * nothing is forwarded and the server is looked for; once it is found again the
 * session goes on there (wire/README.md, Resuming), or a new one begins.
 */
import { Opcode } from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import type { PollSet } from "../sys/poll.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { Kind } from "../wire/frame.ts";
import type { ServerHello } from "../wire/hello.ts";
import { changesSomething } from "../wire/ops.ts";
import { putNotice } from "./channelnotice.ts";
import type { Client } from "./client.ts";
import { type Dialed, Dialer, type DialOptions } from "./dialer.ts";
import { forward } from "./dispatch.ts";
import type { Root } from "./greeting.ts";
import { NoticeKind, type NoticeQueue } from "./noticequeue.ts";
import { wakePollers } from "./notices.ts";
import { State } from "./pending.ts";
import { Head } from "./record.ts";
import type { HostMounts } from "./submounts/hostmounts.ts";

/** Connections in a row that brought no answer, after which what they were asked is given up. */
const FRUITLESS_MAX = 6;
/** Connections that end sooner than this are brief. */
const BRIEF_MS = 1000;
/** How long to wait before looking again after two brief ones; twice as long after each more. */
const DELAY_MS = 80;
const DOUBLINGS_MAX = 6;
/** How long to wait before looking again after a server that cannot be right. */
const REJECTED_MS = 1000;
const NS_PER_MS = 1e6;

/** What becomes of the connection, for main. */
export type LinkNews =
  | { kind: "away"; reason: string }
  | { kind: "back"; awayMs: number; restarted: boolean; anew: boolean };

export interface LinkOptions
  extends Pick<DialOptions, "addresses" | "source" | "facts" | "splits"> {
  /** The session's id. */
  session: string;
  notices: NoticeQueue;
  mounts: HostMounts;
  log: (level: "info" | "warn" | "error", text: string) => void;
  tell: (news: LinkNews) => void;
  /** Told that the connection was given up for another though it may have been good. */
  suspectedInVain: () => void;
  /** Answers every caller with an errno: what they asked is given up. */
  failAll: (errno: number) => void;
}

export class Link {
  /** Whether there is no connection. */
  away = false;
  /** Whether there never will be another: no address is known. */
  gone = false;
  readonly #client: Client;
  readonly #options: LinkOptions;
  readonly #dialer: Dialer;
  #awayNs = 0;
  /** Slots whose requests are to be sent again, in their order. */
  #again: number[] = [];
  /** Connections in a row that were asked something and brought no answer, and brief ones. */
  #fruitless = 0;
  #brief = 0;
  #sinceNs = Bun.nanoseconds();
  #refusal = "";
  resumes = 0;

  constructor(client: Client, options: LinkOptions) {
    this.#client = client;
    this.#options = options;
    this.#dialer = new Dialer({
      ...options,
      session: () => ({
        id: options.session,
        resumes: true,
        epoch: client.record.get(Head.EPOCH),
        events: client.record.get(Head.EVENTS),
      }),
      epoch: () => client.record.get(Head.EPOCH) + 1,
      refused: (reason) => this.#refused(reason),
    });
  }

  /** Whether the server is looked for. */
  get dialing(): boolean {
    return this.#dialer.active;
  }

  /** The connection has ended; `reason` is for people. */
  lost(reason: string): void {
    if (this.away) return;
    this.away = true;
    if (this.#options.addresses.length === 0) {
      this.gone = true;
      this.#options.log("error", `The connection to the server is lost: ${reason}`);
      this.#options.failAll(E.ENOTCONN);
      return;
    }
    this.#awayNs = Bun.nanoseconds();
    this.#client.holds = true;
    this.#client.ghosts?.giveUp();
    this.#again = [];
    // Suspected, the server may have given the session to the other connection already.
    if (this.#dialer.active) this.#options.suspectedInVain();
    else if (this.#client.pending.count > 0) this.#fruitless++;
    if (this.#fruitless > FRUITLESS_MAX) this.#options.failAll(E.EIO);
    const isBrief = this.#awayNs - this.#sinceNs < BRIEF_MS * NS_PER_MS;
    this.#brief = isBrief ? this.#brief + 1 : 0;
    const delay = this.#brief > 1 ? DELAY_MS * 2 ** Math.min(this.#brief - 2, DOUBLINGS_MAX) : 0;
    this.#options.log("warn", `The connection to the server is lost, looking for it: ${reason}`);
    this.#options.tell({ kind: "away", reason });
    this.#dialer.begin(delay);
  }

  /** The server has been silent for long: it may be in reach by another connection. */
  suspect(): void {
    if (this.#options.addresses.length > 0) this.#dialer.begin();
  }

  /** The server is heard on the connection there is. */
  trust(): void {
    if (!this.away && this.#dialer.active) this.#dialer.stop();
  }

  /** An answer came: the connection is good for something. */
  progress(): void {
    this.#fruitless = 0;
    this.#brief = 0;
  }

  addTo(polls: PollSet): void {
    if (this.#dialer.active) this.#dialer.addTo(polls);
  }

  get waitMs(): number {
    return this.#dialer.waitMs;
  }

  /** Goes on looking for the server, or sending again: true when anything was done. */
  step(): boolean {
    if (this.#dialer.active) {
      const dialed = this.#dialer.step();
      if (dialed === undefined) return false;
      if (this.#isPossible(dialed)) this.#goOn(dialed);
      else this.#reject(dialed);
      return true;
    }
    if (!this.#client.holds || this.away) return false;
    return this.#sendAgain();
  }

  close(): void {
    this.#dialer.stop();
  }

  /** Whether the session can go on from where the server says it is. */
  #isPossible({ hello, root }: Dialed): boolean {
    return root !== undefined || this.#client.oneways.isPossible(hello.oneways);
  }

  #reject({ transport, hello }: Dialed): void {
    transport.close();
    transport.release();
    const { description } = transport.peer;
    this.#refused(`${description}: it says that it has ${hello.oneways} one-way messages of ours`);
    this.#dialer.begin(REJECTED_MS);
  }

  #refused(reason: string): void {
    if (reason === this.#refusal) return;
    this.#refusal = reason;
    this.#options.log("warn", `The server at ${reason}`);
  }

  #goOn({ transport, hello, root }: Dialed): void {
    const c = this.#client;
    if (!this.away) this.#options.suspectedInVain();
    const awayMs = this.away ? Math.round((Bun.nanoseconds() - this.#awayNs) / NS_PER_MS) : 0;
    const restarted = hello.lives !== c.record.get(Head.LIVES);
    const old = c.transport as SocketTransport;
    old.close();
    c.connect(transport);
    old.release();
    this.away = false;
    this.#sinceNs = Bun.nanoseconds();
    this.resumes++;
    this.#refusal = "";
    c.record.set(Head.LIVES, hello.lives);
    if (root === undefined) this.#resume(hello);
    else this.#beginAnew(hello, root);
    if (restarted || root !== undefined) this.#wakePollers();
    c.watches?.askAgain();
    c.twins?.connected(root !== undefined);
    const how = root === undefined ? "the session goes on" : "a new session begins";
    this.#options.log("info", `The server is back after ${awayMs} ms: ${how}`);
    this.#options.tell({ kind: "back", awayMs, restarted, anew: root !== undefined });
  }

  #resume(hello: ServerHello): void {
    const c = this.#client;
    c.holds = true;
    c.oneways.rewind(hello.oneways);
    c.lookahead.clear();
    c.memo.clear();
    this.#again = c.pending.inOrder();
    this.#options.mounts.resumed();
  }

  /** Sends again what the server may not have got, as far as the connection takes it. */
  #sendAgain(): boolean {
    const c = this.#client;
    let any = false;
    while (!c.transport.congested) {
      const slot = this.#again[0];
      if (slot === undefined) {
        c.holds = false;
        c.sendOwed();
        return true;
      }
      const before = c.pending.onewaysBefore[slot] as number;
      c.sendOneways(before);
      if (c.oneways.waiting && c.oneways.sent < before) break;
      this.#again.shift();
      this.#ask(slot);
      any = true;
    }
    return any;
  }

  #ask(slot: number): void {
    const c = this.#client;
    const { pending } = c;
    if (pending.state[slot] === State.ASKED) {
      c.replaying = slot;
      c.replayed = false;
      c.retained.replay(slot, () => {
        const errno = forward(c);
        if (errno !== 0) c.answerNow(errno);
      });
      c.replaying = -1;
      // It could be answered without the server this time, which may have got it nevertheless.
      if (!c.replayed) pending.state[slot] = State.ABANDONED;
      else if (pending.cancelled[slot] === 0) return;
    }
    if (pending.state[slot] !== State.FREE) sendCancel(c, slot);
  }

  /** The server knows the session no more: all it had of ours is gone. */
  #beginAnew(hello: ServerHello, root: Root): void {
    const c = this.#client;
    const { pending, record } = c;
    // What is let go of meanwhile means nothing to the server.
    c.holds = true;
    pending.forEachAsked((slot) => {
      const changes = changesSomething(pending.op[slot] as number);
      c.answerErrno(slot, changes || pending.opcode[slot] === Opcode.FSYNC ? E.EIO : E.ESTALE);
    });
    const locks = c.locked.size;
    if (locks > 0) {
      this.#options.log("error", `Locks on ${locks} files are lost: the server lost the session`);
    }
    pending.reset(hello.slots);
    // ATTACH was the first request of slot 0.
    pending.sequence[0] = 1;
    c.retained.adopt([]);
    c.forgetSession();
    this.#options.mounts.begunAnew();
    record.set(Head.SLOTS, hello.slots);
    record.set(Head.EPOCH, record.get(Head.EPOCH) + 1);
    record.set(Head.ROOT_POLICY, root.attributes.policy);
    record.set(Head.EVENTS, 0);
    for (const channel of [0, ...c.fuse.channels.numbers()]) {
      putNotice(c, this.#options.notices, channel, NoticeKind.NAMES, 0, 0);
    }
    c.holds = false;
  }

  #wakePollers(): void {
    const { fuse, polled } = this.#client;
    for (const [high, low] of polled.values()) wakePollers(fuse, high, low);
    polled.clear();
  }
}

function sendCancel(c: Client, slot: number): void {
  const w = c.transport.begin(Kind.CANCEL);
  w.array(2);
  w.uint(slot);
  w.uint(c.pending.sequence[slot] as number);
  c.transport.end();
}

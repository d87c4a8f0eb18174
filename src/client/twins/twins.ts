/**
 * The twin process as the mount's thread sees it: which sockets and FIFOs of the HOST it
 * serves here, and what it asks of the server. It is started when the first of them is met
 * (starter.ts); what waits for it is kept (parked.ts), never for long.
 */
import { channelOf } from "../../fuse/channels.ts";
import { PRUNE_MINOR } from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import type { Attributes } from "../../wire/attributes.ts";
import { FileType, NO_KEY } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { Op } from "../../wire/ops.ts";
import { putNotice } from "../channelnotice.ts";
import type { Client } from "../client.ts";
import { NoticeKind, type NoticeQueue } from "../noticequeue.ts";
import { Head } from "../record.ts";
import {
  Channel,
  type FromTwins,
  keyOf,
  type MountNews,
  type Node,
  type ToTwins,
} from "./channel.ts";
import { DoorKeeper, NOT_HERE } from "./door.ts";
import { TWIN_HIGH } from "./doors.ts";
import { TwinFifos } from "./fifo/hook.ts";
import { TwinNames } from "./namehook.ts";
import { PARK_MS, ParkedAnswers, type Unique } from "./parked.ts";
import { TwinSockets } from "./sockets.ts";

/** What main is told. */
export type TwinNews =
  /** There is to be a twin process. */
  | { kind: "twinsWanted" }
  /** It runs, as that process. */
  | { kind: "twinsHere"; pid: number }
  /** It has ended: there is to be another channel. */
  | { kind: "twinsEnded" };

export interface TwinsOptions {
  /** The reactor's end of the channel. */
  fd: number;
  notices: NoticeQueue;
  /** The mount as it is now. */
  mount: () => MountNews;
  tell: (news: TwinNews) => void;
  log: (level: "info" | "warn" | "error", text: string) => void;
}

/** Numbers in the answers to what the twin process may ask of the server. */
const RESULTS: ReadonlyMap<number, number> = new Map([
  [Op.TWIN_OPEN, 1],
  [Op.TWIN_CLOSE, 0],
  [Op.PASS_OPEN, 1],
  [Op.SOCKET_REBIND, 1],
  [Op.NAME_LOOK, 1],
  [Op.NAME_OPEN, 1],
  [Op.NAME_BIND, 1],
]);
/** How long a name of a socket that is bound here is kept after it was looked up. */
const STALE_NS = 300e6;
/** Questions that may wait for a slot. */
const QUESTIONS_MAX = 65_536;

/** In place of the number of a question whose answer nobody waits for. */
const NOBODY = -1;

interface Stale {
  readonly channel: number;
  readonly node: Node;
  readonly parent: Node;
  readonly name: string;
  readonly sinceNs: number;
}

type Question = Extract<FromTwins, { kind: "ask" }>;

export class Twins {
  readonly #client: Client;
  readonly #options: TwinsOptions;
  #channel: Channel<FromTwins, ToTwins> | undefined;
  /** Whether there will be no other twin process. */
  #isGivenUp = false;
  /** Whether the present one was asked for, and has said hello. */
  #isWanted = false;
  #tids: readonly number[] = [];
  #questions: Question[] = [];
  /** What it has said and nobody has heard yet. */
  #received: FromTwins[] = [];
  /** Names that the kernel is to forget, by what they name. */
  readonly #stale = new Map<string, Stale>();
  readonly #asked = new Map<number, Question>();
  readonly parked: ParkedAnswers;
  readonly sockets: TwinSockets;
  readonly fifos: TwinFifos;
  readonly names: TwinNames;
  readonly door: DoorKeeper;

  constructor(client: Client, options: TwinsOptions) {
    this.#client = client;
    this.#options = options;
    this.#channel = new Channel(options.fd);
    const former = client.record.get(Head.TWIN);
    if (former !== 0) this.#tids = [former];
    this.parked = new ParkedAnswers(client);
    this.sockets = new TwinSockets(client, this);
    this.fifos = new TwinFifos(this);
    this.names = new TwinNames(client, this);
    this.door = new DoorKeeper(client, {
      isTwin: (pid) => this.isTwin(pid),
      attributesOf: (node) => this.sockets.attributesOf(node) ?? this.fifos.attributesOf(node),
      forget: (channel, low, name) => this.dropName(channel, [TWIN_HIGH, low], name),
    });
    if (former !== 0) this.#goOn();
  }

  /** Another process had the twin process: it says what it serves. */
  #goOn(): void {
    this.#isWanted = true;
    this.#push(this.#options.mount());
    this.#push({ kind: "list" });
  }

  /** Descriptor that is readable when the twin process says something; -1 without one. */
  get fd(): number {
    return this.#channel?.fd ?? -1;
  }

  /** Whether there is anything to be looked at again soon. */
  get waits(): boolean {
    const isFull = this.#channel?.waits ?? false;
    const isSoon = this.parked.count > 0 || this.#stale.size > 0;
    return isFull || this.#questions.length > 0 || isSoon;
  }

  /** Whether sockets and FIFOs can be served at all. */
  get isUsable(): boolean {
    return !this.#isGivenUp;
  }

  /** Whether the thread with that id is the twin process's, which must not wait for itself. */
  isTwin(pid: number): boolean {
    if (pid === 0) return false;
    // It says which it is before it uses it.
    if (!this.#tids.includes(pid)) this.#receive();
    return this.#tids.includes(pid);
  }

  /** Serves the request in the device's buffer if it is one about names, or on the hidden directory: 0, an errno, or NOT_HERE. */
  serve(): number {
    const named = this.names.serve();
    if (named !== NOT_HERE) return named;
    return this.#isWanted ? this.door.serve() : NOT_HERE;
  }

  /**
   * The answer to a GETATTR of `node` by thread `tid`, `length` bytes in the answer's body, which
   * says `attributes`, is about to be given. True if it is given later.
   */
  asked(unique: Unique, tid: number, node: Node, length: number, attributes: Attributes): boolean {
    const type = attributes.mode & FileType.MASK;
    if (type === FileType.SOCKET) return this.sockets.asked(unique, tid, node, length);
    return this.fifos.opened(unique, tid, node, length, attributes);
  }

  /** Tells the twin process something; it is started for that if need be. */
  send(message: ToTwins): void {
    if (this.#isGivenUp) return;
    if (!this.#isWanted) {
      this.#isWanted = true;
      this.#push(this.#options.mount());
      this.#options.tell({ kind: "twinsWanted" });
    }
    this.#push(message);
  }

  #push(message: ToTwins): void {
    this.#channel?.send(message);
  }

  /** Another channel, for another twin process; negative: there will be none. */
  renew(fd: number): void {
    this.#isWanted = false;
    if (fd < 0) {
      this.#isGivenUp = true;
      this.#options.log("error", "Sockets and FIFOs are not served any more");
      this.sockets.giveUp();
      this.names.giveUp();
      return;
    }
    this.#channel = new Channel(fd);
    this.sockets.begunAnew();
    this.names.begunAnew();
  }

  /** Takes what the twin process says, and asks the server what it wants to know; whether there was anything. */
  step(): boolean {
    const heard = this.#hear();
    let asked = false;
    while (this.#questions.length > 0 && this.#client.hasSlot) {
      this.#ask(this.#questions.shift() as Question);
      asked = true;
    }
    if (this.#channel?.waits) this.#channel.flush();
    return heard || asked;
  }

  #hear(): boolean {
    this.#receive();
    const heard = this.#received;
    this.#received = [];
    for (const message of heard) this.#heard(message);
    if (this.#channel?.isClosed) this.#ended();
    return heard.length > 0;
  }

  /**
   * Receives what the twin process says. Only who it is is taken note of at once: all else may
   * answer other callers, and an answer may be half made where this is called.
   */
  #receive(): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    for (let one = channel.receive(); one !== undefined; one = channel.receive()) {
      if (one.kind === "hello") this.#heard(one);
      else this.#received.push(one);
    }
  }

  #heard(message: FromTwins): void {
    switch (message.kind) {
      case "hello":
        this.#options.tell({ kind: "twinsHere", pid: message.pid });
        this.#tids = message.tids;
        this.#client.record.set(Head.TWIN, message.tids[0] ?? 0);
        break;
      case "ask":
        if (this.#questions.length < QUESTIONS_MAX) this.#questions.push(message);
        else this.#reply(message, E.EAGAIN, []);
        break;
      case "log":
        this.#options.log(message.level, message.text);
        break;
      case "stuck":
        this.sockets.makeWay();
        break;
      case "fifoLet":
        this.fifos.hear(message);
        break;
      case "named":
      case "ownsName":
      case "nameless":
        this.names.hear(message);
        break;
      default:
        this.sockets.hear(message);
    }
  }

  /** Has the server let go of a key that nobody uses. */
  closeKey(key: number): void {
    this.#questions.push({ kind: "ask", id: NOBODY, op: Op.TWIN_CLOSE, args: [key] });
  }

  #ended(): void {
    this.#channel = undefined;
    this.#received = [];
    this.#tids = [];
    this.#questions = [];
    this.#asked.clear();
    this.door.leave();
    this.#client.record.set(Head.TWIN, 0);
    // One that was never asked for has only lost who would have started it.
    if (this.#isWanted)
      this.#options.log("warn", "The twin process has ended, its connections with it");
    // Who is connected on the HOST would wait for the lease to learn of it.
    if (this.#isWanted) this.closeKey(NO_KEY);
    this.sockets.lost();
    this.fifos.lost();
    this.#options.tell({ kind: "twinsEnded" });
  }

  #ask(question: Question): void {
    const c = this.#client;
    const w = c.askForOurselves(question.op);
    for (const argument of question.args) {
      if (typeof argument === "number") w.uint(argument);
      else if (typeof argument === "string") w.latin1(argument);
      else w.uint64(argument[0], argument[1]);
    }
    this.#asked.set(c.pending.last, question);
    c.send();
  }

  /** Takes the server's answer to what was asked in `slot`; whether it was such a question. */
  answer(slot: number, errno: number): boolean {
    const question = this.#asked.get(slot);
    if (question === undefined) return false;
    // Not carried out: the connection was lost.
    if (errno === E.EINTR) this.#questions.push(question);
    else this.#reply(question, errno, errno === 0 ? this.#results(question.op) : []);
    this.#asked.delete(slot);
    return true;
  }

  #results(op: number): number[] {
    const { reader } = this.#client.transport;
    const count = RESULTS.get(op);
    if (count === undefined) throw new ProtocolError(`operation ${op} was not asked`);
    const results = Array.from({ length: count }, () => reader.uint());
    reader.finish();
    return results;
  }

  #reply({ id }: Question, errno: number, results: number[]): void {
    if (id === NOBODY) return;
    this.#push({ kind: "reply", id, errno, results });
  }

  /** The connection to the server is another; `anew`: the session, too, which knows nothing of ours. */
  connected(anew: boolean): void {
    if (anew) {
      for (const question of [...this.#asked.values(), ...this.#questions]) {
        this.#reply(question, E.ESTALE, []);
      }
      this.#asked.clear();
      this.#questions = [];
      this.parked.failAll(E.ESTALE);
      this.sockets.forget();
      this.fifos.forget();
      this.names.forget();
    }
    if (this.#isWanted) this.#push(this.#options.mount());
  }

  /** Answers callers that have waited long enough, or are dying. */
  check(): void {
    this.#dropStale();
    const late = this.parked.check();
    if (late === 0) return;
    const text = `${late} callers go on though the twin process has not been ready for ${PARK_MS} ms`;
    this.#options.log("warn", text);
  }

  /** Has the kernel drop a name, not just look it up again: it keeps the inode no longer. */
  dropName(channel: number, parent: Node, name: string): void {
    const [high, low] = parent;
    putNotice(this.#client, this.#options.notices, channel, NoticeKind.GONE, high, low, name);
  }

  /**
   * Has the kernel forget a name of a node soon, when the call that has looked it up is over:
   * where it can, only if nobody uses it.
   */
  dropNameSoon(channel: number, node: Node, parent: Node, name: string): void {
    const key = `${keyOf(node)} ${keyOf(parent)}/${name}`;
    this.#stale.set(key, { channel, node, parent, name, sinceNs: Bun.nanoseconds() });
  }

  /** Tells the kernel of the names that are due. */
  #dropStale(): void {
    const before = Bun.nanoseconds() - STALE_NS;
    for (const [key, { channel, node, parent, name, sinceNs }] of this.#stale) {
      if (sinceNs > before) continue;
      this.#stale.delete(key);
      if (this.#client.record.get(Head.MINOR) < PRUNE_MINOR) this.dropName(channel, parent, name);
      else putNotice(this.#client, this.#options.notices, channel, NoticeKind.UNUSED, ...node);
    }
  }

  /** Channel of the request of `slot`. */
  channelOf(slot: number): number {
    return this.channelOfUnique(this.#client.pending.uniqueHigh[slot] as number);
  }

  /** Channel of a request by the upper half of its number. */
  channelOfUnique(uniqueHigh: number): number {
    return channelOf(uniqueHigh);
  }
}

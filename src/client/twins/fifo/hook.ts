/**
 * FIFOs of the HOST on the mount, for the mount's thread: whoever opens one is asked for its
 * attributes first (fuse_permission), and waits until the twin process lets it.
 */
import { ARCH } from "../../../sys/arch.ts";
import { type Attributes, emptyAttributes } from "../../../wire/attributes.ts";
import { FileType } from "../../../wire/constants.ts";
import { keyOf, type Node } from "../channel.ts";
import type { FifoFromTwins } from "../fifomessages.ts";
import type { Parked } from "../parked.ts";
import type { Twins } from "../twins.ts";
import { callText, flagsOf, openCall } from "./opencall.ts";

/** FIFOs whose attributes are kept for the twin process's own opens. */
const KNOWN_MAX = 4096;
/** Numbers of openers begin somewhere: those of a process before mean nothing. */
const NUMBERS = 2 ** 40;

export class TwinFifos {
  readonly #twins: Twins;
  readonly #waiting = new Map<number, Parked>();
  readonly #known = new Map<string, Attributes>();
  #next = Math.floor(Math.random() * NUMBERS);

  constructor(twins: Twins) {
    this.#twins = twins;
  }

  /** What the kernel was told of a FIFO that somebody has opened. */
  attributesOf(node: Node): Attributes | undefined {
    return this.#known.get(keyOf(node));
  }

  /**
   * The answer to a GETATTR of `node` by thread `tid`, `length` bytes in the answer's body,
   * which says `attributes`, is about to be given. True if it is given later.
   */
  opened(
    unique: readonly [low: number, high: number],
    tid: number,
    node: Node,
    length: number,
    attributes: Attributes,
  ): boolean {
    if ((attributes.mode & FileType.MASK) !== FileType.FIFO) return false;
    if (!this.#twins.isUsable || tid === 0 || this.#twins.isTwin(tid)) return false;
    const text = callText(tid);
    const call = openCall(text, ARCH, (address) => flagsOf(tid, address));
    if (call === undefined) return false;
    const id = this.#next++;
    const parked = this.#twins.parked.parkFor(unique, tid, length, () => this.#waiting.delete(id));
    if (parked === undefined) return false;
    this.#waiting.set(id, parked);
    this.#learn(node, attributes);
    const channel = this.#twins.channelOfUnique(unique[1]);
    this.#twins.send({ kind: "fifoOpens", id, channel, node, tid, text, ...call });
    return true;
  }

  #learn(node: Node, attributes: Attributes): void {
    const key = keyOf(node);
    this.#known.delete(key);
    if (this.#known.size >= KNOWN_MAX) this.#known.delete(this.#known.keys().next().value ?? "");
    this.#known.set(key, Object.assign(emptyAttributes(), attributes));
  }

  /** Takes what the twin process says of FIFOs. */
  hear({ id }: FifoFromTwins): void {
    const parked = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (parked !== undefined) this.#twins.parked.answer(parked);
  }

  /** The twin process has ended: nobody lets those who wait. */
  lost(): void {
    for (const parked of this.#waiting.values()) this.#twins.parked.answer(parked);
    this.#waiting.clear();
  }

  /** The session is another: no node means what it did. */
  forget(): void {
    this.#waiting.clear();
    this.#known.clear();
  }
}

/** What reactors have handed over to the bridge: keys, and the listeners among them. */
import type { Loop } from "../../bridge/loop.ts";
import type { DatagramPlaces } from "../../bridge/names.ts";
import { BoxKind, type BoxMessage, type BridgeBox, What } from "./box.ts";
import { Keys, type Twin } from "./keys.ts";
import { type ListenerTwin, listenerFor } from "./listeners.ts";
import type { BridgeSession } from "./session.ts";

export interface HoldingsOptions {
  readonly loop: Loop;
  readonly box: BridgeBox;
  readonly places: DatagramPlaces;
  /** The session for streams of the mount's session `owner`. */
  sessionOf(owner: number): BridgeSession | undefined;
  /** The mount's session `owner`, or who had its streams, is no more. */
  ended(owner: number): void;
  /** Says what of a program's is lost. */
  tell(text: string): void;
}

export class Holdings {
  readonly #options: HoldingsOptions;
  readonly #keys = new Keys();
  readonly #listeners = new Map<number, ListenerTwin>();

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** What `key` stands for in sessions of `owner`, as `what`; a reactor may have told of it just now. */
  find(owner: number, key: unknown, what: number): Twin | undefined {
    this.take();
    return this.#keys.find(owner, key, what);
  }

  /** Takes in what reactors have said. */
  take(): void {
    const { box } = this.#options;
    for (let next = box.take(); next !== undefined; next = box.take()) this.#told(next);
  }

  /** Has the listeners of `owner` go on as its session is now. */
  serveListeners(owner: number): void {
    const session = this.#options.sessionOf(owner);
    for (const { key, what } of this.#keys.of(owner)) {
      if (what === What.LISTENER) this.#listeners.get(key)?.serve(session);
    }
  }

  #told(message: BoxMessage): void {
    const { kind, key, owner } = message;
    if (kind === BoxKind.ADD) this.#add(message);
    else if (kind === BoxKind.REMOVE) this.#remove(owner, key);
    else if (kind === BoxKind.CUT) this.#options.ended(owner);
    else this.#ended(owner);
  }

  #add({ key, fd, what, type, owner }: BoxMessage): void {
    const twin = { key, fd, what, type, owner };
    this.#keys.add(twin);
    if (what !== What.LISTENER) return;
    const { loop, places, sessionOf, tell } = this.#options;
    const listener = listenerFor(loop, twin, places, tell);
    this.#listeners.set(key, listener);
    listener.serve(sessionOf(owner));
  }

  #remove(owner: number, key: number): void {
    if (!this.#keys.has(owner, key)) return;
    this.#listeners.get(key)?.close();
    this.#listeners.delete(key);
    this.#keys.remove(owner, key);
  }

  #ended(owner: number): void {
    this.#options.ended(owner);
    for (const { key } of this.#keys.of(owner)) this.#remove(owner, key);
    this.#keys.removeAll(owner);
  }
}

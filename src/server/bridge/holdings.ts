/** What the server has handed over to the bridge: keys, and the listeners among them. */
import type { Loop } from "../../bridge/loop.ts";
import type { DatagramPlaces } from "../../bridge/names.ts";
import { close } from "../../sys/open.ts";
import { TWINS_MAX } from "../../wire/limits.ts";
import { Keys, nameIn, type Twin } from "./keys.ts";
import { type ListenerTwin, listenerFor } from "./listeners.ts";
import { type Told, What } from "./messages.ts";
import type { BridgeSession } from "./session.ts";

export interface HoldingsOptions {
  readonly loop: Loop;
  readonly places: DatagramPlaces;
  /** The session for streams of the mount's session `owner`. */
  sessionOf(owner: string): BridgeSession | undefined;
  /** Takes what the server has said by now. */
  hear(): void;
  /** Says what of a program's is lost. */
  tell(text: string): void;
}

function isListener(what: number): boolean {
  return what === What.LISTENER || what === What.NAMED_LISTENER;
}

export class Holdings {
  readonly #options: HoldingsOptions;
  readonly #keys = new Keys();
  readonly #listeners = new Map<string, ListenerTwin>();

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Those who have keys. */
  owners(): string[] {
    return this.#keys.owners();
  }

  /** What `key` stands for in sessions of `owner`, as `what`; the server may have told of it just now. */
  find(owner: string, key: unknown, what: number): Twin | undefined {
    const known = this.#keys.find(owner, key, what);
    if (known !== undefined) return known;
    this.#options.hear();
    return this.#keys.find(owner, key, what);
  }

  /** Has the listeners of `owner` go on as its session is now. */
  serveListeners(owner: string): void {
    const session = this.#options.sessionOf(owner);
    for (const { key, what } of this.#keys.of(owner)) {
      if (isListener(what)) this.#listeners.get(`${owner} ${key}`)?.serve(session);
    }
  }

  /** Enters a key for `fd`, which is owned from now on, in place of what it stood for before. */
  add({ key, what, type, owner }: Extract<Told, { kind: "key" }>, fd: number): void {
    this.remove(owner, key);
    if (this.#keys.count(owner) >= TWINS_MAX) {
      this.#options.tell("A client has too many keys for sockets and FIFOs: one was dropped");
      close(fd);
      return;
    }
    const twin = { key, fd, what, type, owner, name: what === What.NAME ? nameIn(fd) : "" };
    this.#keys.add(twin);
    if (!isListener(what)) return;
    const { loop, places, sessionOf, tell } = this.#options;
    const listener = listenerFor(loop, twin, places, tell);
    this.#listeners.set(`${owner} ${key}`, listener);
    listener.serve(sessionOf(owner));
  }

  remove(owner: string, key: number): void {
    if (!this.#keys.has(owner, key)) return;
    const name = `${owner} ${key}`;
    this.#listeners.get(name)?.close();
    this.#listeners.delete(name);
    this.#keys.remove(owner, key);
  }

  /** Lets go of all that `owner` has. */
  removeAll(owner: string): void {
    for (const { key } of this.#keys.of(owner)) this.remove(owner, key);
  }
}

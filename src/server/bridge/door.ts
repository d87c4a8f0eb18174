/** The bridge's thread as a reactor sees it: started when it is first wanted. */
import type { Mailbox } from "../mailbox.ts";
import { BoxKind, type BridgeBox } from "./box.ts";

export class BridgeDoor {
  readonly #mailbox: Mailbox;
  readonly #box: BridgeBox;
  #want: (() => void) | undefined;

  /** `want` has the thread started. */
  constructor(mailbox: Mailbox, box: BridgeBox, want: () => void) {
    this.#mailbox = mailbox;
    this.#box = box;
    this.#want = want;
  }

  #wanted(): void {
    this.#want?.();
    this.#want = undefined;
  }

  /** Hands over a connection for streams with its HELLO; false when too many are on their way. */
  connection(connection: { fd: number; tls: number }, hello: Uint8Array): boolean {
    this.#wanted();
    return this.#mailbox.put(connection, hello);
  }

  /** Hands over `fd` under `key`; false when that cannot be now, and `fd` stays the caller's. */
  add(owner: number, key: number, fd: number, what: number, type: number): boolean {
    this.#wanted();
    return this.#box.offer({ kind: BoxKind.ADD, fd, what, type, key, owner });
  }

  remove(owner: number, key: number): void {
    this.#box.tell({ kind: BoxKind.REMOVE, fd: -1, what: 0, type: 0, key, owner });
  }

  /** The mount's session `owner` has ended, whether it ever had a key or not. */
  ended(owner: number): void {
    this.#end(BoxKind.ENDED, owner);
  }

  /** Its client's process for streams has ended. */
  cut(owner: number): void {
    this.#end(BoxKind.CUT, owner);
  }

  #end(kind: number, owner: number): void {
    if (this.#want !== undefined) return;
    this.#box.tell({ kind, fd: -1, what: 0, type: 0, key: 0, owner });
  }

  /** Tells what there was no room for. */
  flush(): void {
    this.#box.flush();
  }
}

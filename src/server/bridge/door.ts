/** The bridge as a reactor sees it: started when it is first wanted. */
import type { Mailbox } from "../mailbox.ts";
import type { BridgeSender } from "./sender.ts";

export class BridgeDoor {
  readonly #mailbox: Mailbox;
  readonly #sender: BridgeSender;
  #want: (() => void) | undefined;

  /** `mailbox`: of the thread that looks after it; `want` has both started. */
  constructor(mailbox: Mailbox, sender: BridgeSender, want: () => void) {
    this.#mailbox = mailbox;
    this.#sender = sender;
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
  add(owner: string, key: number, fd: number, what: number, type: number): boolean {
    this.#wanted();
    return this.#sender.offer({ kind: "key", owner, key, what, type }, fd);
  }

  remove(owner: string, key: number): void {
    this.#sender.tell({ kind: "remove", owner, key });
  }

  /** The mount's session `owner` has ended, whether it ever had a key or not. */
  ended(owner: string): void {
    this.#sender.tell({ kind: "ended", owner });
  }

  /** Its client's process for streams has ended. */
  cut(owner: string): void {
    this.#sender.tell({ kind: "cut", owner });
  }

  /** Tells what there was no room for. */
  flush(): void {
    this.#sender.flush();
  }
}

/** The bridge's thread as main sees it: started when a reactor first wants it. */
import { Counters } from "../../info/counters.ts";
import { machineFacts } from "../../info/facts.ts";
import type { Watchdog } from "../../info/watchdog.ts";
import { eventfd } from "../../sys/poll.ts";
import { Mailbox } from "../mailbox.ts";
import { BridgeBox } from "./box.ts";
import type { BridgeData, BridgeMessage } from "./bridge.worker.ts";

export interface BridgeThreadOptions {
  registry: SharedArrayBuffer;
  leaseMs: number;
  log: (level: "info" | "warn", text: string) => void;
  /** The thread has failed: what it served is in an unknown state. */
  failed: (event: ErrorEvent) => void;
}

export class BridgeThread {
  readonly counters = new Counters();
  readonly #mailbox: Mailbox;
  readonly #box: BridgeBox;
  readonly #options: BridgeThreadOptions;
  #worker: Worker | undefined;
  #done = Promise.resolve();

  constructor(options: BridgeThreadOptions) {
    const wakeFd = eventfd();
    this.#mailbox = new Mailbox(wakeFd);
    this.#box = new BridgeBox(wakeFd);
    this.#options = options;
  }

  /** What reactors tell it by. */
  get told(): { mailbox: SharedArrayBuffer; box: SharedArrayBuffer; wakeFd: number } {
    const { shared, wakeFd } = this.#mailbox;
    return { mailbox: shared, box: this.#box.shared, wakeFd };
  }

  /** Starts it, unless it runs. */
  start(watchdog: Watchdog): void {
    if (this.#worker !== undefined) return;
    const worker = new Worker(new URL("./bridge.worker.ts", import.meta.url).href);
    this.#worker = worker;
    watchdog.add("bridge", this.counters.heartbeat, () => "at streams");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#done = promise;
    worker.onmessage = ({ data }: MessageEvent<BridgeMessage>) => {
      if (data.kind === "done") resolve();
      else this.#options.log(data.level, data.text);
    };
    worker.onerror = (event) => this.#options.failed(event);
    const { registry, leaseMs } = this.#options;
    const data: BridgeData = {
      ...this.told,
      registry,
      leaseMs,
      counters: this.counters.shared,
      facts: machineFacts(),
    };
    worker.postMessage(data);
  }

  /** Ends it: resolves when its connections are closed. */
  stop(): Promise<void> {
    this.#mailbox.stop();
    return this.#done;
  }
}

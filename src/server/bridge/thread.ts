/** The bridge as main sees it: found where another server has left it, or started when a reactor first wants it. */
import { rmSync } from "node:fs";
import { Counters } from "../../info/counters.ts";
import { BUILD } from "../../info/facts.ts";
import type { Watchdog } from "../../info/watchdog.ts";
import { Channel } from "../../keeper/channel.ts";
import { reachKeeper } from "../../keeper/start.ts";
import { close } from "../../sys/open.ts";
import { eventfd, POLLIN, PollSet, signalEventfd } from "../../sys/poll.ts";
import { Mailbox } from "../mailbox.ts";
import type { BridgeData, BridgeMessage } from "./bridge.worker.ts";
import type { BridgePlace } from "./link.ts";
import type { FromBridge, ToBridge } from "./messages.ts";
import { BridgeGeneration, BridgeSender } from "./sender.ts";

/** How long one that was found may take to say so. */
const HELLO_MS = 2000;

export interface BridgeThreadOptions {
  /** The name of the bridge's socket, and what starts this program. */
  path: string;
  command: readonly string[];
  registry: SharedArrayBuffer;
  leaseMs: number;
  log: (level: "info" | "warn" | "error", text: string, atMs?: number) => void;
  /** The thread has failed: what it served is in an unknown state. */
  failed: (event: ErrorEvent) => void;
}

type Hello = Extract<FromBridge, { kind: "hello" }>;

/** What reactors tell the bridge by. */
export interface BridgeTold {
  mailbox: SharedArrayBuffer;
  wakeFd: number;
  fd: number;
  generation: SharedArrayBuffer;
}

export class BridgeThread {
  readonly counters = new Counters();
  readonly #mailbox = new Mailbox(eventfd());
  readonly #generation = new BridgeGeneration();
  readonly #options: BridgeThreadOptions;
  readonly #place: BridgePlace;
  /** What a bridge has said that was there before us. */
  readonly #found: Hello | undefined;
  readonly #leaveFd = eventfd();
  readonly #endFd = eventfd();
  #worker: Worker | undefined;
  #done = Promise.resolve();
  /** Its process; 0: there is none yet. */
  pid = 0;

  constructor(options: BridgeThreadOptions) {
    this.#options = options;
    const { place, hello } = reach(options);
    this.#place = place;
    this.#found = hello;
  }

  get told(): BridgeTold {
    const { shared, wakeFd } = this.#mailbox;
    const { fd } = this.#place;
    return { mailbox: shared, wakeFd, fd, generation: this.#generation.shared };
  }

  /** Goes on with the bridge that another server has left, if there is one. */
  adopt(watchdog: Watchdog): void {
    if (this.#found === undefined) return;
    this.#options.log("info", `Process ${this.#found.pid} has the streams of an earlier one`);
    this.pid = this.#found.pid;
    this.start(watchdog);
  }

  /** The sessions of earlier processes that go on are those of `owners`: what it has for others ends. */
  adopted(owners: readonly string[]): void {
    const sender = new BridgeSender(this.#place.fd, this.#generation);
    const gone = (this.#found?.owners ?? []).filter((owner) => !owners.includes(owner));
    for (const owner of gone) sender.tell({ kind: "ended", owner });
  }

  /** Starts the thread, and the bridge if there is none, unless that was done. */
  start(watchdog: Watchdog): void {
    if (this.#worker !== undefined) return;
    const worker = new Worker(new URL("./bridge.worker.ts", import.meta.url).href);
    this.#worker = worker;
    watchdog.add("bridge", this.counters.heartbeat, () => "at streams");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#done = promise;
    worker.onmessage = ({ data }: MessageEvent<BridgeMessage>) => {
      if (data.kind === "done") resolve();
      else if (data.kind === "found") this.pid = data.pid;
      else this.#options.log(data.level, data.text, data.atMs);
    };
    worker.onerror = (event) => this.#options.failed(event);
    const { registry, leaseMs } = this.#options;
    const { mailbox, wakeFd, generation } = this.told;
    const data: BridgeData = {
      ...{ mailbox, wakeFd, generation, registry, leaseMs },
      place: this.#place,
      counters: this.counters.shared,
      leaveFd: this.#leaveFd,
      endFd: this.#endFd,
    };
    worker.postMessage(data);
  }

  /** Leaves the streams to another server, or ends them: resolves when that is so. */
  stop(how: "leave" | "end"): Promise<void> {
    if (this.#worker === undefined) this.#forget();
    else signalEventfd(how === "leave" ? this.#leaveFd : this.#endFd);
    return this.#done;
  }

  /** There was never one. */
  #forget(): void {
    const { fd, listenFd, path } = this.#place;
    close(fd);
    if (listenFd < 0) return;
    close(listenFd);
    rmSync(path, { force: true });
  }
}

/** Where the bridge is: one that is idle and of another release, or says nothing, is left alone. */
function reach({ path, command, log }: BridgeThreadOptions): { place: BridgePlace; hello?: Hello } {
  const { fd, listenFd } = reachKeeper(path);
  const place = { path, command, fd, listenFd };
  if (listenFd >= 0) return { place };
  const channel = new Channel<FromBridge, ToBridge>(fd);
  const hello = hear(channel);
  if (hello !== undefined && (hello.build === BUILD || !hello.isIdle)) return { place, hello };
  if (hello === undefined) log("warn", "The bridge of an earlier server does not answer");
  channel.send({ kind: "leave" });
  channel.close();
  rmSync(path, { force: true });
  return { place: { path, command, ...reachKeeper(path) } };
}

function hear(channel: Channel<FromBridge, ToBridge>): Hello | undefined {
  const polls = new PollSet(1);
  polls.add(channel.fd, POLLIN);
  polls.wait(HELLO_MS);
  const first = channel.receive();
  return first?.kind === "hello" ? first : undefined;
}

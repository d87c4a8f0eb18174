/**
 * A thread of the supervisor: waits for a call of the supervised programs, decides, answers,
 * and waits for the next one. Several may wait; the kernel gives each call to one of them.
 */
import { E, errnoName } from "../sys/errno.ts";
import { Notification, wakeInStep } from "../sys/seccomp.ts";
import { ANSWERED, type Call, GO_ON, type Verdict } from "./call.ts";
import { Caller, prepareThread } from "./caller.ts";
import { CALL_NAMES, CALL_NUMBERS, deciderOf } from "./calls.ts";
import { CallRecord } from "./record.ts";
import { Sessions } from "./sessions.ts";
import { Shares } from "./shares.ts";
import { Procfs, spacesOf } from "./spaces.ts";
import type { Target } from "./standin.ts";
import { Tally } from "./tally.ts";

/** What main tells the thread: first all it needs, then what it has asked for. */
export type ToThread =
  | { kind: "start"; data: ThreadData }
  /** Number of the process that stands for what was asked, or FULL; or why there can be none. */
  | { kind: "standIn"; pid: number }
  | { kind: "noStandIn"; reason: string };

export interface ThreadData {
  listener: number;
  /** Descriptor of the record, and this thread's place in it. */
  record: number;
  index: number;
  tally: SharedArrayBuffer;
  names: readonly string[];
}

/** What the thread tells main. */
export type FromThread =
  | { kind: "ready" }
  /** No thread is left that waits for a call. */
  | { kind: "busy" }
  | { kind: "standIn"; target: Target }
  | { kind: "log"; level: "debug" | "info" | "warn"; text: string };

declare const self: {
  onmessage: ((event: { data: ToThread }) => void) | null;
  postMessage(message: FromThread): void;
};

class Thread {
  readonly #index: number;
  readonly #record: CallRecord;
  readonly #args: Notification;
  readonly #procfs = new Procfs();
  readonly #own = spacesOf(this.#procfs, "self");
  readonly #shares = new Shares(this.#procfs);
  readonly #sessions: Sessions;
  readonly #tally: Tally;
  readonly #names: readonly string[];

  constructor({ listener, record, index, tally, names }: ThreadData) {
    prepareThread();
    this.#index = index;
    this.#names = names;
    this.#record = new CallRecord(record, index);
    this.#args = new Notification(listener, this.#record.region);
    this.#sessions = new Sessions(this.#record, () => this.#args.isValid());
    this.#tally = new Tally(tally);
    wakeInStep(listener);
  }

  /** Serves until nobody is left whose calls could come. */
  async run(): Promise<void> {
    // What a process before this one has received.
    if (this.#args.isOpen && this.#args.isValid()) await this.#serve();
    this.#record.clear();
    self.postMessage({ kind: "ready" });
    while (true) {
      this.#tally.end(this.#index);
      const result = this.#args.receive();
      if (this.#tally.begin(this.#index)) self.postMessage({ kind: "busy" });
      // A caller that is gone already. (Main knows when all are.)
      if (result === -E.ENOENT || result === -E.EINTR) continue;
      if (result < 0) throw new Error(`Cannot receive calls: ${errnoName(result)}`);
      await this.#serve();
      this.#record.clear();
    }
  }

  async #serve(): Promise<void> {
    const { tid, nr } = this.#args;
    const startNs = Bun.nanoseconds();
    this.#sessions.begin();
    const call: Call = {
      args: this.#args,
      caller: new Caller(this.#procfs, this.#own, tid),
      procfs: this.#procfs,
      shares: this.#shares,
      sessions: this.#sessions,
      names: this.#names,
      standIn,
      log: (level, text) => self.postMessage({ kind: "log", level, text }),
    };
    const verdict = await this.#decide(call, nr);
    if (verdict === GO_ON) this.#args.letGoOn();
    else if (verdict !== ANSWERED) this.#args.answer(verdict);
    this.#tally.count(CALL_NUMBERS.indexOf(nr), verdict, Bun.nanoseconds() - startNs);
  }

  async #decide(call: Call, nr: number): Promise<Verdict> {
    const name = CALL_NAMES[CALL_NUMBERS.indexOf(nr)] ?? `call ${nr}`;
    try {
      const verdict = await deciderOf(nr)?.(call);
      if (!this.#tally.talks) return verdict;
      call.log("debug", `${name} of ${call.caller.tid}: ${described(verdict)}`);
      return verdict;
    } catch (error) {
      call.log("warn", `${name} of ${call.caller.tid} failed: ${(error as Error).message}`);
      return -E.EIO;
    }
  }
}

function described(verdict: Verdict): string {
  if (verdict === GO_ON) return "goes on";
  return verdict === ANSWERED || verdict >= 0 ? "on the HOST" : errnoName(verdict);
}

/** Asks main for a process that stands for the HOST's. */
function standIn(target: Target): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  self.onmessage = ({ data }) => {
    if (data.kind === "standIn") resolve(data.pid);
    else if (data.kind === "noStandIn") reject(new Error(data.reason));
  };
  self.postMessage({ kind: "standIn", target });
  return promise;
}

self.onmessage = ({ data }) => {
  if (data.kind !== "start") return;
  new Thread(data.data).run().catch((error) => {
    setTimeout(() => {
      throw error;
    });
  });
};

/**
 * The supervisor: a process beside the programs whose calls it looks at. It gets the listener
 * of their filter from whoever starts them (launch.ts), or from the keeper when the process
 * before it has died, and ends when none of them is left.
 */
import { ownCommand } from "../cli/background.ts";
import { FirstKeeper, KEPT, Keeper } from "../client/keeper.ts";
import { type Control, serveControl } from "../info/control.ts";
import { createLog, isLogLevel, type Log } from "../info/log.ts";
import { allocate, type Region } from "../sys/memory.ts";
import { close, F_SETFD, FD_CLOEXEC, fcntlInt } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { raiseNoFileLimit, setProcessName } from "../sys/process.ts";
import { recvFds, send } from "../sys/socket.ts";
import { CALL_NAMES } from "./calls.ts";
import {
  CALLS_MAX,
  CallRecord,
  createRecord,
  readSettings,
  type Settings,
  standInPids,
  writeSettings,
} from "./record.ts";
import type { SupervisorSnapshot } from "./report.ts";
import type { Target } from "./standin.ts";
import { createLife, StandIns } from "./standins.ts";
import type { FromThread, ToThread } from "./supervise.worker.ts";
import { Tally } from "./tally.ts";
import type { FromWatch } from "./watch.worker.ts";

/** Its word on the command line. */
export const SUPERVISOR_WORD = "supervisor";
/** Behind it: goes on for one that has died. */
const SUCCESSOR_WORD = "successor";
/** Where whoever starts it says what to supervise. */
export const LAUNCHER_FD = 3;
export const NAME = "qtfs-supervisor";
/** What a launcher says, at most. */
export const SETTINGS_MAX = 8000;
const LAUNCHER_MS = 20_000;
/** All threads are at their calls for that long when another one is started. */
const BUSY_MS = 50;
/** Threads that it begins with. */
const THREADS = 2;

/** Runs until no supervised program is left; the exit code. */
export async function supervise(words: readonly string[]): Promise<number> {
  setProcessName(NAME);
  raiseNoFileLimit();
  // With their service, programs end; what they unmount while they do goes through here.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  const isSuccessor = words[0] === SUCCESSOR_WORD;
  const supervisor = new Supervisor(isSuccessor ? inherited() : received());
  await supervisor.start();
  if (isSuccessor) supervisor.log.write("warn", "The process before has died: this one goes on");
  // Only now are calls looked at, whatever becomes of this process.
  else tellLauncher();
  await supervisor.ended;
  return process.exit(0);
}

interface Held {
  readonly listener: number;
  readonly record: number;
  /** What processes live by that stand for the HOST's (standins.ts). */
  readonly life: number;
}

function inherited(): Held {
  const held = { listener: KEPT.fuse, record: KEPT.record, life: KEPT.channels };
  for (const fd of Object.values(held)) fcntlInt(fd, F_SETFD, FD_CLOEXEC);
  return held;
}

/** From the launcher: the settings, put into a record, and then the listener. */
function received(): Held {
  fcntlInt(LAUNCHER_FD, F_SETFD, FD_CLOEXEC);
  const said = allocate(SETTINGS_MAX);
  const record = createRecord();
  const { n, fds } = receiveOne(said);
  // What comes beside it is only for the launcher to have sent something.
  for (const fd of fds) close(fd);
  if (n <= 0) throw new Error("Nobody says what to supervise");
  writeSettings(record, JSON.parse(said.bytes.toString("utf8", 0, n)) as Settings);
  const [listener] = receiveOne(said).fds;
  if (listener === undefined) throw new Error("Nobody gives a listener for what to supervise");
  return { listener, record, life: createLife() };
}

/** The next message of the launcher's, and the descriptors with it. */
function receiveOne({ address, size }: Region): { n: number; fds: number[] } {
  const polls = new PollSet(1);
  polls.add(LAUNCHER_FD, POLLIN);
  polls.wait(LAUNCHER_MS);
  return recvFds(LAUNCHER_FD, address, size, 1);
}

function tellLauncher(): void {
  const word = allocate(1);
  send(LAUNCHER_FD, word.address, 1, 0);
}

class Supervisor {
  readonly log: Log;
  readonly ended: Promise<void>;
  readonly #end: () => void;
  readonly #listener: number;
  readonly #record: number;
  readonly #life: number;
  readonly #standIns: StandIns;
  readonly #settings: Settings;
  readonly #tally = new Tally();
  readonly #firstKeeper = new FirstKeeper();
  #keeper: Keeper | undefined;
  #control: Control | undefined;
  /** Places of the threads in the record. */
  readonly #threads: number[] = [];
  #isLooking = false;
  /** Those that no thread has, the next one last. */
  readonly #places = Array.from({ length: CALLS_MAX }, (_, i) => CALLS_MAX - 1 - i);

  constructor({ listener, record, life }: Held) {
    this.#listener = listener;
    this.#record = record;
    this.#life = life;
    this.#settings = readSettings(record);
    const { logLevel } = this.#settings;
    this.log = createLog(isLogLevel(logLevel) ? logLevel : "info");
    this.#standIns = new StandIns(life, standInPids(record), this.log);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
  }

  /** Resolves when calls are looked at, and go on being so should this process die. */
  async start(): Promise<void> {
    this.#startKeeper();
    this.#firstKeeper.dismiss();
    const { level } = this.log;
    this.#tally.talks = level === "debug" || level === "trace";
    // Who finds a call at its place that a process before this one has left, answers it.
    const wanted = Math.max(THREADS, this.#places.filter((index) => this.#isLeft(index)).length);
    this.#places.sort((a, b) => Number(this.#isLeft(a)) - Number(this.#isLeft(b)) || b - a);
    await Promise.all(Array.from({ length: wanted }, () => this.#addThread()));
    this.#watch();
    this.#serveInfo();
  }

  #startKeeper(): void {
    const kept = {
      fuse: this.#listener,
      record: this.#record,
      channels: this.#life,
      twins: -1,
    };
    const command = [...ownCommand(), SUPERVISOR_WORD, SUCCESSOR_WORD];
    this.#keeper = new Keeper(command, kept, () => this.#startKeeper());
  }

  /** Where all threads are at a call for long, those that come would wait for what takes long. */
  #lookLater(): void {
    if (this.#isLooking || this.#places.length === 0) return;
    this.#isLooking = true;
    setTimeout(() => {
      this.#isLooking = false;
      const busyMs = this.#tally.busyForMs(this.#threads);
      if (busyMs >= BUSY_MS) this.#addThread();
      if (busyMs > 0) this.#lookLater();
    }, BUSY_MS);
  }

  #isLeft(index: number): boolean {
    return new CallRecord(this.#record, index).isLeft;
  }

  async #addThread(): Promise<void> {
    const index = this.#places.pop();
    if (index === undefined) return;
    this.#threads.push(index);
    const worker = new Worker(new URL("./supervise.worker.ts", import.meta.url).href);
    const { promise, resolve } = Promise.withResolvers<void>();
    worker.onmessage = ({ data }: { data: FromThread }) => {
      if (data.kind === "log") this.log.write(data.level, data.text);
      else if (data.kind === "ready") resolve();
      else if (data.kind === "standIn") worker.postMessage(this.#standIn(data.target));
      else this.#lookLater();
    };
    worker.onerror = ({ message }) => this.#fail(message);
    const [listener, record, tally] = [this.#listener, this.#record, this.#tally.shared];
    const { names } = this.#settings;
    const data = { listener, record, index, tally, names };
    worker.postMessage({ kind: "start", data } satisfies ToThread);
    await promise;
  }

  #standIn(target: Target): ToThread {
    try {
      return { kind: "standIn", pid: this.#standIns.of(target) };
    } catch (error) {
      return { kind: "noStandIn", reason: (error as Error).message };
    }
  }

  /** Nobody looks at the calls of a thread that has failed: the next process does. */
  #fail(message: string): void {
    this.log.write("error", message);
    process.exit(1);
  }

  #watch(): void {
    const worker = new Worker(new URL("./watch.worker.ts", import.meta.url).href);
    worker.onmessage = (_: { data: FromWatch }) => {
      this.#keeper?.dismiss();
      this.#control?.close();
      this.#end();
    };
    worker.onerror = ({ message }) => this.#fail(message);
    worker.postMessage(this.#listener);
  }

  #serveInfo(): void {
    const { log } = this;
    try {
      this.#control = serveControl({ kind: "supervisor", log, snapshot: () => this.#snapshot() });
    } catch (error) {
      log.write("warn", `qtfs info will not see this process: ${(error as Error).message}`);
    }
  }

  #snapshot(): SupervisorSnapshot {
    const { command, pid, startedAt } = this.#settings;
    const calls = CALL_NAMES.map((name, i) => ({ name, ...this.#tally.read(i) }));
    return {
      program: { pid, command: [...command], startedAt },
      threads: this.#threads.length,
      calls,
    };
  }
}

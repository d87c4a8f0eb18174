/** The programs that a keeper has, and those that have ended: for reports and the log. */
import type { Loop } from "../../bridge/loop.ts";
import { bootTimeMs } from "../../sys/clock.ts";
import { Orphans } from "./orphans.ts";
import type { Program } from "./program.ts";
import { describeOrder } from "./rules.ts";
import type { ProgramSlots } from "./slots.ts";

/** Programs that have ended and are told of still. */
const ENDED_MAX = 100;

/** What is told of a program. */
export interface ProgramReport {
  /** The process that has it, and its number there. */
  keeper: number;
  id: number;
  pid: number;
  uid: number;
  peer: string;
  words: string[];
  startedMs: number;
  bytesIn: number;
  bytesOut: number;
  /** Whether its client has a connection; a program that goes on without has none. */
  connected: boolean;
  /** Whether it is to go on when nobody comes back for it. */
  outlives: boolean;
  /** Absent while it runs; `code` -1: nobody knows, its keeper was killed. */
  ending?: { code: number; signal: number; atMs: number };
}

export interface RegisterOptions {
  readonly loop: Loop;
  /** Where the next keeper finds what runs, should this one be killed. */
  readonly slots: ProgramSlots;
  readonly log: (level: "info" | "warn", text: string) => void;
  /** Told when a program has started or ended. */
  readonly changed: (report: ProgramReport) => void;
}

export class ProgramRegister {
  readonly #options: RegisterOptions;
  /** Those that are not over: their numbers here, and their slots until they have ended. */
  readonly #programs = new Map<Program, { id: number; slot: number }>();
  /** Those of a keeper that was killed. */
  readonly #orphans: Orphans;
  #ended: ProgramReport[] = [];
  #count = 0;

  constructor(options: RegisterOptions) {
    this.#options = options;
    const { loop, slots } = options;
    this.#orphans = new Orphans(loop, slots, (report) => this.#hasEnded(report));
    const { ended, size } = this.#orphans;
    if (size === 0) return;
    this.#log(
      "warn",
      `The keeper before was killed: ${ended} of its programs are ended for that, ` +
        `${size - ended} go on of which nobody will know how they end`,
    );
  }

  /** Programs that are not over. */
  get size(): number {
    return this.#programs.size + this.#orphans.size;
  }

  started(program: Program): void {
    const { pid, outlives, rule } = program;
    const slot = this.#options.slots.take(pid, outlives, bootTimeMs());
    this.#programs.set(program, { id: ++this.#count, slot });
    const by = rule === undefined ? "" : ` by rule ${rule.name}`;
    this.#log("info", `Program ${this.#count}, pid ${pid}: ${describeOrder(program)}${by}`);
    this.#options.changed(this.#reportOf(program, this.#count));
  }

  ended(program: Program): void {
    const known = this.#programs.get(program);
    const { ending } = program;
    if (known === undefined || ending === undefined) return;
    const { id } = known;
    this.#options.slots.release(known.slot);
    known.slot = -1;
    const how =
      ending.signal > 0 ? `died of signal ${ending.signal}` : `exited with ${ending.code}`;
    const seconds = ((this.#options.loop.nowMs - program.sinceMs) / 1000).toFixed(3);
    this.#log("info", `Program ${id}, pid ${program.pid}: ${how} after ${seconds} s`);
    this.#hasEnded({ ...this.#reportOf(program, id), ending: { ...ending, atMs: Date.now() } });
  }

  gone(program: Program): void {
    this.#programs.delete(program);
  }

  /** Those that run, and then those that have ended, the last first. */
  reports(): ProgramReport[] {
    const running = [...this.#programs].filter(([program]) => program.runs);
    const own = running.map(([program, { id }]) => this.#reportOf(program, id));
    return [...own, ...this.#orphans.reports(), ...this.#ended];
  }

  /** Signals the process group of what runs as process `pid`; whether there is such a program. */
  signal(pid: number, signal: number): boolean {
    const program = this.find(pid);
    if (program === undefined || !program.runs) return this.#orphans.signal(pid, signal);
    program.signal(signal);
    return true;
  }

  /** The one that runs as process `pid`. */
  find(pid: number): Program | undefined {
    for (const program of this.#programs.keys()) if (program.pid === pid) return program;
    return undefined;
  }

  #hasEnded(report: ProgramReport): void {
    this.#ended = [report, ...this.#ended].slice(0, ENDED_MAX);
    this.#options.changed(report);
  }

  #log(level: "info" | "warn", text: string): void {
    this.#options.log(level, text);
  }

  #reportOf(program: Program, id: number): ProgramReport {
    const { pid, uid, words, bytesIn, bytesOut, sinceMs, connected, outlives } = program;
    const peer = program.client.description;
    const startedMs = Date.now() - (this.#options.loop.nowMs - sinceMs);
    const keeper = process.pid;
    const figures = { bytesIn, bytesOut, connected, outlives };
    return { keeper, id, pid, uid, peer, words, startedMs, ...figures };
  }
}

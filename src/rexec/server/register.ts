/** The programs that a keeper has, and those that have ended: for reports and the log. */
import type { Loop } from "../../bridge/loop.ts";
import type { Program } from "./program.ts";
import { describeOrder } from "./rules.ts";

/** Programs that have ended and are told of still. */
const ENDED_MAX = 100;

/** What is told of a program. */
export interface ProgramReport {
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

export class ProgramRegister {
  readonly #loop: Loop;
  readonly #log: (level: "info" | "warn", text: string) => void;
  /** Told when one has started or ended. */
  readonly #changed: (report: ProgramReport) => void;
  /** Those that are not over, by their numbers here. */
  readonly #programs = new Map<Program, number>();
  #ended: ProgramReport[] = [];
  #count = 0;

  constructor(
    loop: Loop,
    log: (level: "info" | "warn", text: string) => void,
    changed: (report: ProgramReport) => void,
  ) {
    this.#loop = loop;
    this.#log = log;
    this.#changed = changed;
  }

  /** Programs that are not over. */
  get size(): number {
    return this.#programs.size;
  }

  started(program: Program): void {
    this.#programs.set(program, ++this.#count);
    this.#log("info", `Program ${this.#count}, pid ${program.pid}: ${describeOrder(program)}`);
    this.#changed(this.#reportOf(program, this.#count));
  }

  ended(program: Program): void {
    const id = this.#programs.get(program);
    const { ending } = program;
    if (id === undefined || ending === undefined) return;
    const how =
      ending.signal > 0 ? `died of signal ${ending.signal}` : `exited with ${ending.code}`;
    const seconds = ((this.#loop.nowMs - program.sinceMs) / 1000).toFixed(3);
    this.#log("info", `Program ${id}, pid ${program.pid}: ${how} after ${seconds} s`);
    const report = { ...this.#reportOf(program, id), ending: { ...ending, atMs: Date.now() } };
    this.#ended = [report, ...this.#ended].slice(0, ENDED_MAX);
    this.#changed(report);
  }

  gone(program: Program): void {
    this.#programs.delete(program);
  }

  /** Those that run, and then those that have ended, the last first. */
  reports(): ProgramReport[] {
    const running = [...this.#programs].filter(([program]) => program.runs);
    return [...running.map(([program, id]) => this.#reportOf(program, id)), ...this.#ended];
  }

  /** The one that runs as process `pid`. */
  find(pid: number): Program | undefined {
    for (const program of this.#programs.keys()) if (program.pid === pid) return program;
    return undefined;
  }

  #reportOf(program: Program, id: number): ProgramReport {
    const { pid, uid, words, bytesIn, bytesOut, sinceMs, connected, outlives } = program;
    const peer = program.client.description;
    const startedMs = Date.now() - (this.#loop.nowMs - sinceMs);
    return { id, pid, uid, peer, words, startedMs, bytesIn, bytesOut, connected, outlives };
  }
}

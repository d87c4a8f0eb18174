/** Carries a scenario out on a FIFO, or on one that two machines share, and tells what came of it. */
import { Actor } from "./actors.ts";
import type { Scenario, Step } from "./generate.ts";
import type { Side } from "./model.ts";

/** Where scenarios are carried out. */
export interface Ground {
  readonly program: string;
  /** Makes a FIFO of that name. */
  make(name: string): void;
  remove(name: string): void;
  pathOf(side: Side, name: string): string;
}

/** An answer takes so long at most. */
const ANSWER_MS = 5000;
/** After a signal the end of an open(2) has to be looked for (openers.ts). */
const SIGNAL_MS = 130;
const NAP_MS = 1;

function wait(ms: number): void {
  if (ms > 0) Bun.sleepSync(ms);
}

/** Processes that have nothing open, to be used again. */
const idle: Actor[] = [];

class Run {
  readonly #scenario: Scenario;
  readonly #ground: Ground;
  readonly #settleMs: number;
  readonly #name: string;
  readonly #actors: Actor[];
  /** Whether all have answered what they were asked, and nothing else. */
  #isClean = true;

  constructor(scenario: Scenario, ground: Ground, settleMs: number, name: string) {
    this.#scenario = scenario;
    this.#ground = ground;
    this.#settleMs = settleMs;
    this.#name = name;
    this.#actors = scenario.sides.map((side) => this.#actor(side));
  }

  #actor(side: Side): Actor {
    const actor = idle.pop() ?? new Actor(this.#ground.program);
    actor.tell(`n${this.#ground.pathOf(side, this.#name)}`);
    this.#answer(actor);
    return actor;
  }

  #answer(actor: Actor): string {
    for (const endMs = performance.now() + ANSWER_MS; performance.now() < endMs; ) {
      const answer = actor.answer();
      if (answer !== undefined) return answer;
      actor.await(ANSWER_MS);
    }
    this.#isClean = false;
    return "no answer";
  }

  #step({ actor: index, command, answers }: Step): string {
    const actor = this.#actors[index] as Actor;
    if (command === "k") {
      actor.kill();
      this.#actors[index] = this.#actor(this.#scenario.sides[index] as Side);
    } else if (command === "s") actor.signal();
    else {
      actor.tell(command);
      if (!answers.includes(index)) actor.awaitOpening(Number(command.slice(1)), ANSWER_MS);
    }
    const heard = answers.map((i) => `${i}:${this.#answer(this.#actors[i] as Actor)}`);
    if (command === "s" && this.#settleMs > 0) wait(Math.max(SIGNAL_MS - this.#settleMs, 0));
    return `${index} ${command} → ${heard.join(" ")}`;
  }

  /** What came of each step. */
  run(): string[] {
    const told: string[] = [];
    for (const step of this.#scenario.steps) {
      wait(this.#settleMs);
      told.push(...this.#unasked());
      // What follows depends on all that was before: it would be waited for in vain.
      if (!this.#isClean) return told;
      told.push(this.#step(step));
    }
    wait(this.#settleMs);
    return [...told, ...this.#unasked()];
  }

  /** Answers of those who should wait. */
  #unasked(): string[] {
    const told: string[] = [];
    for (const [i, actor] of this.#actors.entries()) {
      const more = actor.answer();
      if (more !== undefined) told.push(`${i} unasked: ${more}`);
    }
    if (told.length > 0) this.#isClean = false;
    return told;
  }

  end(): void {
    const waiting = new Set<number>();
    for (const { actor, answers } of this.#scenario.steps) {
      waiting.add(actor);
      for (const i of answers) waiting.delete(i);
    }
    for (const [i, actor] of this.#actors.entries()) {
      if (waiting.has(i) || !this.#isClean) actor.kill();
      else {
        actor.tell("c");
        this.#answer(actor);
        idle.push(actor);
      }
    }
  }
}

let serial = 0;

/** What came of each step of `scenario` on `ground`, with `settleMs` between two. */
export function outcome(scenario: Scenario, ground: Ground, settleMs: number): string[] {
  const name = `f${process.pid}.${serial++}`;
  ground.make(name);
  const run = new Run(scenario, ground, settleMs, name);
  const told = run.run();
  run.end();
  ground.remove(name);
  wait(NAP_MS);
  return told;
}

/** Ends all processes. */
export function dismiss(): void {
  for (const actor of idle.splice(0)) actor.kill();
}

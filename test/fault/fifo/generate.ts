/**
 * Scenarios whose outcome on one kernel is known: random interleavings of opens, writes, reads,
 * closes, signals and kills by processes on both sides.
 *
 * What two kernels do otherwise (README, Limits) is left out, and nothing else:
 * - D1: with readers on both sides, which of them gets which bytes.
 * - D2: what the DPU's last reader leaves unread when no writer is left is lost, also for
 *   readers of the HOST's.
 * - D3: what the last writer has left in the HOST's pipe, for readers there, is not seen by the
 *   DPU's readers, before a writer comes.
 */
import type { Random } from "../../support/random.ts";
import { type ActorState, BOTH, FifoModel, NONBLOCK, READ, type Side, WRITE } from "./model.ts";

export interface Step {
  readonly actor: number;
  readonly command: string;
  /** Actors that answer because of it. */
  readonly answers: readonly number[];
}

export interface Scenario {
  readonly seed: number;
  readonly sides: readonly Side[];
  readonly steps: readonly Step[];
}

const STEPS_MIN = 4;
const STEPS_MAX = 14;
/** Far less than a pipe takes: when it is full differs (its capacity is that of both). */
const CONTENT_MAX = 12_000;
const WRITE_MAX = 4000;
const OPENS = [READ, READ, WRITE, WRITE, READ | NONBLOCK, WRITE | NONBLOCK, BOTH, BOTH | NONBLOCK];

class Generator {
  readonly #random: Random;
  readonly #model: FifoModel;
  #pattern = 0;

  constructor(random: Random, sides: readonly Side[]) {
    this.#random = random;
    this.#model = new FifoModel(sides);
  }

  /** The next step; undefined where the actor that was drawn can do nothing. */
  step(): Step[] | undefined {
    const actor = this.#random.below(this.#model.actors.length);
    const state = this.#model.actors[actor] as ActorState;
    if (state.blocked) return this.#giveUp(actor);
    if (state.has === undefined) return this.#open(actor, state);
    const draw = this.#random.below(10);
    if (draw === 0) return this.#leave(actor, "k", []);
    if (draw < 3) return this.#leave(actor, "c", [actor]);
    if (draw === 3) return this.#poll(actor, state);
    const writes = state.has === "write" || (state.has === "both" && draw > 6);
    return writes ? this.#write(actor) : this.#read(actor, state);
  }

  #giveUp(actor: number): Step[] | undefined {
    if (this.#random.below(3) > 0) return undefined;
    const kills = this.#random.below(2) === 0;
    return this.#leave(actor, kills ? "k" : "s", kills ? [] : [actor]);
  }

  #leave(actor: number, command: string, answers: number[]): Step[] | undefined {
    const m = this.#model;
    const state = m.actors[actor] as ActorState;
    const isRead = m.content > 0 && m.reads("dpu") && m.reads("host");
    // D2, D3
    if (isRead && state.has !== "write" && !m.writes()) return undefined;
    m.leave(actor);
    return [{ actor, command, answers }];
  }

  #open(actor: number, state: ActorState): Step[] | undefined {
    const flags = OPENS[this.#random.below(OPENS.length)] as number;
    const m = this.#model;
    const reads = (flags & 3) !== WRITE;
    // D3
    if (state.side === "dpu" && reads && m.content > 0 && !m.writes()) return undefined;
    const letter = this.#random.below(4) === 0 ? "p" : "o";
    return [{ actor, command: `${letter}${flags}`, answers: m.open(actor, flags) }];
  }

  #write(actor: number): Step[] | undefined {
    const m = this.#model;
    const bytes = 1 + this.#random.below(WRITE_MAX);
    if (m.content + bytes > CONTENT_MAX) return undefined;
    const begin = { actor, command: `q${this.#pattern}`, answers: [actor] };
    if (m.reads()) {
      m.content += bytes;
      this.#pattern += bytes;
    }
    return [begin, { actor, command: `w${bytes}`, answers: [actor] }];
  }

  #read(actor: number, state: ActorState): Step[] | undefined {
    const m = this.#model;
    // D1
    if (m.reads("dpu") && m.reads("host")) return undefined;
    if (m.content > 0) {
      const bytes = 1 + this.#random.below(m.content);
      m.content -= bytes;
      return [{ actor, command: `r${bytes}`, answers: [actor] }];
    }
    if (m.writes() && !state.nonblock) return undefined;
    return [{ actor, command: "r100", answers: [actor] }];
  }

  #poll(actor: number, { has }: ActorState): Step[] | undefined {
    const m = this.#model;
    // D1
    if (has !== "write" && m.reads("dpu") && m.reads("host")) return undefined;
    return [{ actor, command: "l", answers: [actor] }];
  }
}

/** The scenario with that seed; `random` must be of it alone. */
export function generate(seed: number, random: Random): Scenario {
  const sides: Side[] = ["dpu", "host"];
  for (let more = random.below(3); more > 0; more--) {
    sides.push(random.below(2) === 0 ? "dpu" : "host");
  }
  const generator = new Generator(random, sides);
  const count = STEPS_MIN + random.below(STEPS_MAX - STEPS_MIN);
  const steps: Step[] = [];
  for (let tries = 0; steps.length < count && tries < 200; tries++) {
    steps.push(...(generator.step() ?? []));
  }
  return { seed, sides, steps };
}

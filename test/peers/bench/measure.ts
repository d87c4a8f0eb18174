/** The run: scenario after scenario, round after round, contestant after contestant. */
import type { Contestant, Mode } from "./contestants/types.ts";
import type { Results } from "./results.ts";
import type { Cell, Effort, FreshScenario, Row, Samples, SteadyScenario } from "./rows/types.ts";
import { type Ground, Stack, StartError } from "./stack.ts";

/** After a hanging caller was set free, it must come back within this time. */
const FREED_MS = 10_000;
/** Of an error, which may carry what a daemon wrote. */
const ERROR_LENGTH = 500;

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, ERROR_LENGTH);
}

export interface Plan {
  readonly fresh: FreshScenario[];
  readonly steady: SteadyScenario[];
}

export class Measurement {
  #serial = 0;
  /** What did not start, by contestant and mode; it is not tried again. */
  readonly #refused = new Map<string, StartError>();

  constructor(
    private readonly ground: Ground,
    private readonly effort: Effort,
    private readonly results: Results,
    private readonly say: (line: string) => void,
  ) {}

  async run(plan: Plan): Promise<void> {
    for (const scenario of plan.fresh) await this.#fresh(scenario);
    for (const mode of ["default", "uncached", "proc"] as const) {
      const scenarios = plan.steady.filter((scenario) => scenario.mode === mode);
      if (scenarios.length > 0) await this.#steady(mode, scenarios);
    }
  }

  #cell(contestant: Contestant, warmUp: boolean): Cell {
    const { ground, effort } = this;
    return { ground, effort, contestant, warmUp, serial: this.#serial++ };
  }

  /** Runs one cell within its time; a failure becomes the cell's result. */
  async #measure(
    cell: Cell,
    rows: Row[],
    timeoutMs: number,
    kill: () => void,
    run: () => Promise<Samples>,
  ): Promise<boolean> {
    this.ground.interrupted.throwIfAborted();
    const late = new Error(`No end within ${timeoutMs} ms`);
    let isLate = false;
    const stuck = Promise.withResolvers<never>();
    let timer = setTimeout(() => {
      isLate = true;
      kill();
      timer = setTimeout(() => stuck.reject(late), FREED_MS);
    }, timeoutMs);
    try {
      const samples = await Promise.race([run(), stuck.promise]);
      if (cell.warmUp) return true;
      for (const row of rows) {
        const sample = samples.get(row.id);
        if (sample) this.results.cell(row, cell.contestant.name).samples.push(sample);
      }
      return true;
    } catch (error) {
      this.ground.interrupted.throwIfAborted();
      if (error === late) throw error;
      const why = messageOf(isLate ? late : error);
      for (const row of rows) this.results.cell(row, cell.contestant.name).error = why;
      if (!(error instanceof StartError)) this.say(`${cell.contestant.name}: ${why}`);
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  async #fresh(scenario: FreshScenario): Promise<void> {
    this.#announce(scenario.rows);
    for (let round = 0; round < this.effort.rounds; round++) {
      for (const contestant of this.results.contestants) {
        let stack: Stack | undefined;
        const cell = this.#cell(contestant, false);
        const start = async () => {
          stack = await this.#start(contestant, "default");
          return stack;
        };
        const kill = () => stack?.kill();
        const run = () => scenario.run(cell, start);
        await this.#measure(cell, scenario.rows, scenario.timeoutMs, kill, run);
        await stack?.stop();
      }
    }
  }

  async #steady(mode: Mode, scenarios: SteadyScenario[]): Promise<void> {
    const stacks = new Map<string, Stack>();
    const contestants = this.results.contestants.filter(
      ({ modes, holdsTree }) => modes?.includes(mode) ?? !(holdsTree && mode === "proc"),
    );
    for (const scenario of scenarios) {
      this.#announce(scenario.rows);
      for (let round = -1; round < this.effort.rounds; round++) {
        for (const contestant of contestants) {
          await this.#steadyCell(scenario, contestant, round < 0, stacks);
        }
      }
    }
    for (const [name, stack] of stacks) {
      const memory = this.results.memory.get(name);
      if (memory && mode === "default") memory.after = stack.memory();
      await stack.stop();
    }
  }

  /** A contestant whose cell failed gets a new stack for its next one. */
  async #steadyCell(
    scenario: SteadyScenario,
    contestant: Contestant,
    warmUp: boolean,
    stacks: Map<string, Stack>,
  ): Promise<void> {
    const cell = this.#cell(contestant, warmUp);
    const { name } = contestant;
    const run = async () => {
      const stack = stacks.get(name) ?? (await this.#startSteady(contestant, scenario.mode));
      stacks.set(name, stack);
      return scenario.run(cell, stack);
    };
    const kill = () => stacks.get(name)?.kill();
    if (await this.#measure(cell, scenario.rows, scenario.timeoutMs, kill, run)) return;
    const broken = stacks.get(name);
    stacks.delete(name);
    await broken?.stop();
  }

  async #startSteady(contestant: Contestant, mode: Mode): Promise<Stack> {
    const stack = await this.#start(contestant, mode);
    const counts = mode === "default" && contestant.mount && !contestant.holdsTree;
    if (counts && !this.results.memory.has(contestant.name)) {
      const idle = stack.memory();
      this.results.memory.set(contestant.name, { idle, after: idle });
    }
    return stack;
  }

  async #start(contestant: Contestant, mode: Mode): Promise<Stack> {
    const key = `${contestant.name} ${mode}`;
    const before = this.#refused.get(key);
    if (before) throw before;
    try {
      return await Stack.start(this.ground, contestant, mode);
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      this.#refused.set(key, error);
      this.say(`${contestant.name} does not start: ${messageOf(error)}`);
      throw error;
    }
  }

  #announce(rows: Row[]): void {
    this.results.rows.push(...rows);
    this.say(rows.map((row) => row.id).join("; "));
  }
}

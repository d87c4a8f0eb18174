/** Seeded rounds of cuts and kills under load, for rexec. */
import { until } from "../../e2e/support/program.ts";
import { type Random, random } from "../../support/random.ts";
import { seedOf } from "../plan.ts";
import { Client, orderOf } from "./client.ts";
import { LEASE_S, World } from "./world.ts";

/** What programs survive (but for their client's end), and what they do not. */
const MILD = ["cut", "down", "kill", "stop", "client"] as const;
const HARD = ["keeper", "both"] as const;
export type Strike = (typeof MILD | typeof HARD)[number];

/** How often it is a hard one. */
const HARD_CHANCE = 0.06;

export interface RoundsOptions {
  rounds: number;
  seed: number;
  directory: string;
  /** Clients at once. */
  clients?: number;
  say?: (text: string) => void;
}

export interface Verdict {
  /** Programs that have ended as they should, were not started, and were given up for a reason. */
  done: number;
  refused: number;
  lost: number;
  strikes: Partial<Record<Strike, number>>;
  problems: string[];
}

const CLIENTS = 6;
const DOWN_MS_MAX = 400;
const PAUSE_MS_MAX = 250;
/** Reasons for which the end of a program that was started may be unknown. */
const KEEPER_WAS_KILLED = /not known any more|connection to .* was lost|ended the connection/;

export async function runRounds(options: RoundsOptions): Promise<Verdict> {
  const world = await World.begin(options.directory);
  try {
    return await new Rounds(world, options).run();
  } finally {
    await world.end();
  }
}

class Rounds {
  readonly #world: World;
  readonly #options: RoundsOptions;
  readonly #chance: Random;
  readonly #clients = new Set<Client>();
  #next = 1;
  #isOver = false;
  readonly #verdict: Verdict = { done: 0, refused: 0, lost: 0, strikes: {}, problems: [] };
  /** Clients that ended without the program's end, and what they said. */
  readonly #unknown: { id: number; stderr: string; wasKilled: boolean }[] = [];

  constructor(world: World, options: RoundsOptions) {
    this.#world = world;
    this.#options = options;
    this.#chance = random(seedOf(options.seed, 0));
  }

  async run(): Promise<Verdict> {
    const { rounds, clients = CLIENTS, say } = this.#options;
    const load = Promise.all(Array.from({ length: clients }, () => this.#load()));
    for (let i = 0; i < rounds; i++) {
      await Bun.sleep(30 + this.#chance.below(PAUSE_MS_MAX));
      const isHard = this.#chance.chance(HARD_CHANCE);
      const strike = this.#chance.pick<Strike>(isHard ? HARD : MILD);
      this.#verdict.strikes[strike] = (this.#verdict.strikes[strike] ?? 0) + 1;
      await this.#strike(strike);
      await this.#lookForOrphans(`after round ${i}, ${strike}`);
      if ((i + 1) % 20 === 0) say?.(`${i + 1} rounds, ${this.#verdict.problems.length} problems`);
    }
    this.#isOver = true;
    await load;
    await this.#lookForLeft();
    this.#judge();
    return this.#verdict;
  }

  /** One client after the other. */
  async #load(): Promise<void> {
    while (!this.#isOver) {
      const client = new Client(this.#world, orderOf(this.#next++, this.#chance));
      this.#clients.add(client);
      const { isDone, problem, stderr } = await client.end();
      this.#clients.delete(client);
      const { wasKilled, order } = client;
      if (problem !== undefined) this.#verdict.problems.push(problem);
      else if (isDone) this.#verdict.done++;
      else this.#unknown.push({ id: order.id, stderr, wasKilled });
      // A server that is away refuses at once: not thousands of times.
      if (!isDone) await Bun.sleep(50);
    }
  }

  async #strike(strike: Strike): Promise<void> {
    const { stage, link } = this.#world;
    const downMs = this.#chance.below(DOWN_MS_MAX);
    if (strike === "cut") link.cut();
    else if (strike === "client") this.#chance.pick([...this.#clients])?.kill();
    else if (strike === "keeper") {
      const { keeper } = stage;
      process.kill(keeper, "SIGKILL");
      await until(
        () => stage.keeper !== keeper,
        () => `another keeper:\n${stage.log}`,
      );
    } else if (strike === "down") {
      link.closed = true;
      await Bun.sleep(downMs);
      link.closed = false;
    } else {
      if (strike === "both") process.kill(stage.keeper, "SIGKILL");
      if (strike === "stop") await stage.stop();
      else await stage.kill();
      await Bun.sleep(downMs);
      await stage.start();
    }
  }

  /** Each program that runs is one that qtfs info tells of. */
  async #lookForOrphans(when: string): Promise<void> {
    let orphans: number[] = [];
    const look = async () => {
      const running = this.#world.running();
      const told = await this.#world.told();
      const still = new Set(this.#world.running());
      orphans = running.filter((pid) => !told.has(pid) && still.has(pid));
      return orphans.length === 0;
    };
    // One that was started this very moment is told of the next.
    for (let i = 0; i < 5 && !(await look()); i++) await Bun.sleep(50);
    for (const pid of orphans) this.#verdict.problems.push(`${when}: nobody has process ${pid}`);
  }

  /** Those whose clients were killed end after the lease; then nothing is left. */
  async #lookForLeft(): Promise<void> {
    const { stage } = this.#world;
    const isClean = () => this.#world.running().length === 0 && stage.children.length === 0;
    await until(isClean, () => `the end of ${this.#world.running()}`, (LEASE_S + 20) * 1000);
  }

  #judge(): void {
    const recorded = this.#world.recorded();
    const { problems } = this.#verdict;
    for (const { id, pids } of recorded.values()) {
      if (pids.length > 1) problems.push(`program ${id} was started ${pids.length} times`);
    }
    const { keeper = 0, both = 0 } = this.#verdict.strikes;
    const keepers = keeper + both;
    for (const { id, stderr, wasKilled } of this.#unknown) {
      if (!recorded.has(id)) {
        this.#verdict.refused++;
        continue;
      }
      this.#verdict.lost++;
      if (wasKilled || (keepers > 0 && KEEPER_WAS_KILLED.test(stderr))) continue;
      problems.push(`program ${id} was started, and its client said ${stderr}`);
    }
  }
}

export function describeVerdict({ done, refused, lost, strikes, problems }: Verdict): string {
  const counts = Object.entries(strikes).map(([name, count]) => `${count} ${name}`);
  return (
    `${done} programs ended as they should, ${refused} were not started, ${lost} lost their ` +
    `client or keeper; ${counts.join(", ")}; ${problems.length} problems`
  );
}

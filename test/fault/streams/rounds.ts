/** Seeded kills and cuts under connections of each kind, and FIFOs, in both directions. */
import { mkdirSync, rmSync } from "node:fs";
import { Meeting } from "../../e2e/sockets/stage.ts";
import { run, sh } from "../../e2e/support/run.ts";
import { type Random, random } from "../../support/random.ts";
import { seedOf } from "../plan.ts";
import { Stage } from "../stage.ts";
import { buildStreams } from "./talk.ts";

const STRIKES = ["kill", "stop", "cut", "mount", "kill and cut"] as const;
type Strike = (typeof STRIKES)[number];
const KINDS = ["stream", "packet", "datagram", "pass"] as const;

const BYTES_MIN = 256 << 10;
const BYTES_MORE = 2 << 20;
const DOWN_MS_MAX = 500;
const PAUSE_MS_MAX = 700;
const RUN_MS = 90_000;

export interface RoundsOptions {
  rounds: number;
  seed: number;
  directory: string;
  kind: "unix" | "tcp";
  say?: (text: string) => void;
}

export interface Verdict {
  /** Conversations without a lost or repeated byte. */
  whole: number;
  strikes: Partial<Record<Strike, number>>;
  problems: string[];
}

export async function runRounds(options: RoundsOptions): Promise<Verdict> {
  const { directory, kind, seed } = options;
  const program = await buildStreams(directory);
  const stage = await Stage.open({ directory, kind, seed });
  const rounds = new Rounds(stage, program, options);
  try {
    await rounds.run();
  } finally {
    await rounds.end();
    rounds.verdict.problems.push(...(await stage.close()));
    if (rounds.verdict.problems.length > 0) console.log(stage.logs());
  }
  return rounds.verdict;
}

class Rounds {
  readonly verdict: Verdict = { whole: 0, strikes: {}, problems: [] };
  readonly #stage: Stage;
  readonly #program: string;
  readonly #options: RoundsOptions;
  readonly #chance: Random;
  readonly #serving: Meeting[] = [];
  #isOver = false;
  #next = 1;

  constructor(stage: Stage, program: string, options: RoundsOptions) {
    this.#stage = stage;
    this.#program = program;
    this.#options = options;
    this.#chance = random(seedOf(options.seed, 0));
  }

  async run(): Promise<void> {
    const { mountpoint, tree } = this.#stage;
    const loads: Promise<void>[] = [];
    for (const [there, here] of [
      [tree, mountpoint],
      [mountpoint, tree],
    ] as const) {
      for (const kind of KINDS) {
        const name = `${kind}-${there === tree ? "host" : "dpu"}`;
        mkdirSync(`${tree}/${name}`);
        const command = [this.#program, "echo", `${there}/${name}/socket`, kind];
        this.#serving.push(await Meeting.up(command));
        loads.push(this.#converse(() => this.#call(`${here}/${name}/socket`, kind)));
      }
      loads.push(this.#converse(() => this.#fifo(there, here)));
    }
    const load = Promise.all(loads);
    await this.#strikes();
    this.#isOver = true;
    await load;
  }

  async end(): Promise<void> {
    for (const one of this.#serving) await one.end();
  }

  async #strikes(): Promise<void> {
    const { rounds, say } = this.#options;
    const { strikes } = this.verdict;
    for (let i = 0; i < rounds; i++) {
      await Bun.sleep(50 + this.#chance.below(PAUSE_MS_MAX));
      const strike = this.#chance.pick(STRIKES);
      strikes[strike] = (strikes[strike] ?? 0) + 1;
      await this.#strike(strike);
      if ((i + 1) % 10 === 0) say?.(`${i + 1} rounds, ${this.verdict.whole} conversations`);
    }
  }

  async #strike(strike: Strike): Promise<void> {
    const stage = this.#stage;
    const downMs = this.#chance.below(DOWN_MS_MAX);
    const cut = () => stage.proxy.do({ fault: "cut", how: "end", downMs, down: "refuse" }).over;
    if (strike === "kill") await stage.restartServer(downMs);
    else if (strike === "stop") await stage.replaceServer();
    else if (strike === "cut") await cut();
    else if (strike === "mount") await stage.killMount();
    else await Promise.all([stage.restartServer(this.#chance.below(DOWN_MS_MAX)), cut()]);
  }

  /** One conversation after the other; the first that goes wrong is the last. */
  async #converse(once: () => Promise<string>): Promise<void> {
    while (!this.#isOver) {
      const problem = await once();
      if (problem !== "") {
        this.verdict.problems.push(problem);
        return;
      }
      this.verdict.whole++;
    }
  }

  #sizeOf(number: number): number {
    const chance = random(seedOf(this.#options.seed, number));
    return BYTES_MIN + chance.below(BYTES_MORE);
  }

  async #call(path: string, kind: string): Promise<string> {
    const number = this.#next++;
    const own = kind === "datagram" ? [`${path}-${number}`] : [];
    const problem = await this.#says(["call", path, kind, number, this.#sizeOf(number), ...own]);
    for (const one of own) rmSync(one, { force: true });
    return problem;
  }

  async #fifo(there: string, here: string): Promise<string> {
    const number = this.#next++;
    const name = `fifo${number}`;
    await sh(`mkfifo ${this.#stage.tree}/${name}`);
    const size = this.#sizeOf(number);
    const problems = await Promise.all([
      this.#says(["write", `${there}/${name}`, number, size]),
      this.#says(["read", `${here}/${name}`, number, size]),
    ]);
    rmSync(`${this.#stage.tree}/${name}`);
    return problems.join("");
  }

  /** What is wrong with what the program says. */
  async #says(words: (string | number)[]): Promise<string> {
    const command = [this.#program, ...words.map(String)];
    const { code, stdout, stderr } = await run(command, { timeoutMs: RUN_MS });
    if (code === 0 && stdout === "whole\n") return "";
    return `${words.join(" ")}: exit ${code} ${stdout}${stderr}\n`;
  }
}

export function describeVerdict({ whole, strikes, problems }: Verdict): string {
  const counts = Object.entries(strikes).map(([name, count]) => `${count} ${name}`);
  return `${whole} conversations were whole; ${counts.join(", ")}; ${problems.length} problems`;
}

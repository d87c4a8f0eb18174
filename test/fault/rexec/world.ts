/** What rexec's faults happen to: a rexec-server, a link to it, a fixture, and its record. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Link } from "../../e2e/rexec/link.ts";
import { QTFS, Stage } from "../../e2e/rexec/stage.ts";

/** How long programs outlive a lost connection, and a server that is gone. */
export const LEASE_S = 5;

/** What the fixture's record says of a program. */
export interface Recorded {
  id: number;
  pids: number[];
  hasEnded: boolean;
}

export class World {
  readonly stage: Stage;
  readonly link: Link;
  readonly program: string;
  readonly record: string;

  private constructor(stage: Stage, link: Link) {
    this.stage = stage;
    this.link = link;
    this.program = `${stage.directory}/fault-program`;
    this.record = `${stage.directory}/record`;
    writeFileSync(this.record, "");
  }

  static async begin(directory: string): Promise<World> {
    const config = `${directory}/rexec.toml`;
    writeFileSync(config, `lease_s = ${LEASE_S}\n`);
    const stage = await Stage.begin(["--config", config]);
    const world = new World(stage, new Link(stage.directory, "link"));
    const source = new URL("./program.c", import.meta.url).pathname;
    const cc = Bun.spawn(["cc", "-O2", "-Wall", "-Werror", "-o", world.program, source]);
    if ((await cc.exited) !== 0) throw new Error("program.c cannot be built");
    await world.link.begin();
    return world;
  }

  /** The words that run what follows them, directly or by the link. */
  rexec(byLink: boolean): string[] {
    const address = byLink ? `unix://${this.link.path}` : this.stage.address;
    return [QTFS, "rexec", "--server", address];
  }

  recorded(): Map<number, Recorded> {
    const all = new Map<number, Recorded>();
    for (const line of readFileSync(this.record, "latin1").split("\n").filter(Boolean)) {
      const [what, ...numbers] = line.split(" ");
      const [id = -1, pid = -1] = numbers.map(Number);
      const one = all.get(id) ?? { id, pids: [], hasEnded: false };
      if (what === "start") one.pids.push(pid);
      else one.hasEnded = true;
      all.set(id, one);
    }
    return all;
  }

  /** Processes that run the fixture. */
  running(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => wordsOf(pid)[0] === this.program);
  }

  /** Those that `qtfs info` says are run. */
  async told(): Promise<Set<number>> {
    const child = Bun.spawn([QTFS, "info", "--json"], { stdio: ["ignore", "pipe", "inherit"] });
    const text = await new Response(child.stdout).text();
    const { daemons } = JSON.parse(text) as { daemons: Told[] };
    const programs = daemons.flatMap((daemon) => daemon.programs ?? []);
    return new Set(programs.filter((one) => one.ending === undefined).map(({ pid }) => pid));
  }

  async end(): Promise<void> {
    this.link.end();
    await this.stage.end();
  }
}

interface Told {
  programs?: { pid: number; ending?: object }[];
}

function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  } catch {
    return [];
  }
}

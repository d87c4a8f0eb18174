/** A HOST's tree, its mounts, and watchers of both: what one is told is what the other is. */
import { writeFileSync } from "node:fs";
import type { MountReport, ServerReport } from "../../../src/info/report.ts";
import { eventually, isGone } from "../mounts/caller.ts";
import { report, World, type WorldMount, type WorldServer } from "../mounts/world.ts";
import { sh } from "../support/run.ts";
import { buildWatcher, Watcher } from "./watcher.ts";

const KNOWN_MS = 30_000;

export class EventStage {
  readonly world = new World();
  readonly #watchers: Watcher[] = [];
  #program = "";
  #serial = 0;
  server!: WorldServer;
  tree = "";

  /** `tree`: what is exported, a new directory by default. */
  async open(tree = this.world.make("host")): Promise<void> {
    this.tree = tree;
    this.#program = await buildWatcher(this.world.directory);
    this.server = await this.world.server([tree]);
  }

  async mount(options: string[] = []): Promise<WorldMount> {
    return await this.world.mount(this.server, this.tree, options);
  }

  /** Kills the server and starts another at the same socket. */
  async restartServer(): Promise<void> {
    const { pid, address } = this.server;
    process.kill(pid, "SIGKILL");
    await eventually(() => isGone(pid), "the server is gone", KNOWN_MS);
    this.server = await this.world.server([this.tree], address.slice("unix://".length));
  }

  /** A watcher of `paths`, which the server knows of if they are on mounts. */
  async watcher(...paths: string[]): Promise<Watcher> {
    const one = new Watcher(this.#program, paths);
    this.#watchers.push(one);
    return await one.ready();
  }

  /** Resolves once `mount` and the server say that so many inodes are watched on it. */
  async watches(mount: WorldMount, count: number, onServer = count): Promise<void> {
    const endMs = performance.now() + KNOWN_MS;
    while (true) {
      const here = (await report<MountReport>(mount.pid)).totals.eventWatches;
      const there = (await report<ServerReport>(this.server.pid)).totals.eventWatches;
      if (here === count && there === onServer) return;
      if (performance.now() > endMs) throw new Error(`${here} and ${there} inodes are watched`);
      await Bun.sleep(20);
    }
  }

  /** A new directory of the tree: its name. */
  async place(prepare = ""): Promise<string> {
    const name = `place${this.#serial++}`;
    await sh(`mkdir ${name}; cd ${name}; ${prepare}`, { cwd: this.tree });
    return name;
  }

  /** Has every watcher, which watch `directory` of the tree as their path `number`, know all before. */
  async settle(directory: string, number: number, watchers: readonly Watcher[]): Promise<void> {
    const name = `end${this.#serial++}`;
    writeFileSync(`${this.tree}/${directory}/${name}`, "");
    await Promise.all(watchers.map((one) => one.told(`${number} CLOSE_WRITE ${name}`)));
  }

  async endWatchers(): Promise<void> {
    await Promise.all(this.#watchers.splice(0).map((one) => one.end()));
  }

  async close(): Promise<void> {
    await this.endWatchers();
    await this.world.close();
  }
}

/** A server that is asked to end, under load, and another that goes on: nobody notices. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { MountReport } from "../../../src/info/report.ts";
import { eventually, isGone } from "./caller.ts";
import { Load } from "./load.ts";
import { report, World } from "./world.ts";

const WRITERS = 3;
const RESTARTS = 4;
const END_MS = 15_000;

const world = new World();
const loads: Load[] = [];
afterAll(async () => {
  for (const load of loads) load.kill();
  await world.close();
});

test("SIGTERM of the server loses nothing that it acknowledged, and callers see no error", async () => {
  const tree = world.make("host");
  let server = await world.server([tree]);
  const socket = server.address.slice("unix://".length);
  const mount = await world.mount(server, tree, ["cache=never"]);
  for (let i = 0; i < WRITERS; i++)
    loads.push(new Load(mount.target, `${world.directory}/load${i}`));
  for (let i = 0; i < RESTARTS; i++) {
    await Promise.all(loads.map((load) => load.goesOn()));
    const { pid } = server;
    process.kill(pid, "SIGTERM");
    await eventually(() => isGone(pid), "the server ends", END_MS);
    server = await world.server([tree], socket);
  }
  await Promise.all(loads.map((load) => load.goesOn()));
  for (const load of loads) {
    expect(await load.end()).toBe("0");
    const rounds = Array.from({ length: load.count }, (_, i) => `${i + 1}\n`);
    expect(readFileSync(`${tree}/log${load.pid}`, "utf8")).toBe(rounds.join(""));
  }
  expect((await report<MountReport>(mount.pid)).recovery).toMatchObject({
    serverRestarts: RESTARTS,
    sessionsLost: 0,
  });
  expect(await world.umount(mount.target)).toBe(0);
  await world.vanished(mount);
}, 120_000);

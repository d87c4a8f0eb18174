/**
 * The tests of cgroups in a guest, all of whose controllers are with version 2: memory.events,
 * pids.events and cpuset, which other machines have with version 1.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { buildWatcher } from "../events/watcher.ts";
import { fetchKernel } from "../support/guests/kernel.ts";
import { WholeGuest } from "../support/guests/whole.ts";
import { compileWatch } from "./waiting.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOUND_MS = 200_000;
const REPOSITORY = new URL("../../..", import.meta.url).pathname;
const directory = mkdtempSync(`${tmpdir()}/guest-`);
let guest: WholeGuest | undefined;
/** Programs compiled here, where it is quick. */
let environment = "";

beforeAll(async () => {
  for (const at of ["poll", "inotify"]) mkdirSync(`${directory}/${at}`);
  const poll = await compileWatch(`${directory}/poll`);
  const inotify = await buildWatcher(`${directory}/inotify`);
  environment = `QTFS_WATCH_POLL=${poll} QTFS_WATCH_INOTIFY=${inotify}`;
  const kernel = await fetchKernel();
  guest = await WholeGuest.start(directory, "guest", { kernel, modules: ["fuse"] });
}, BOUND_MS);

afterAll(async () => {
  await guest?.stop();
  rmSync(directory, { recursive: true });
});

/** Runs a file of tests there; the titles of those that passed. */
async function passed(file: string): Promise<string[]> {
  const command = `node_modules/.bin/bun test --timeout ${BOUND_MS} ./test/e2e/${file}`;
  const said = await (guest as WholeGuest).sh(
    `cd ${REPOSITORY}; ${environment} ${command}`,
    BOUND_MS,
  );
  return [...said.matchAll(/^\(pass\) (.*?)(?: \[.*)?$/gm)].map(([, title = ""]) => title);
}

test(
  "made, limited, entered, watched and removed",
  async () => {
    const titles = await passed("kernel/cgroups.test.ts");
    for (const one of ["memory: who takes", "pids: more than", "cpuset: processors"]) {
      expect(titles.filter((title) => title.startsWith(`version 2, ${one}`))).toHaveLength(1);
    }
  },
  BOUND_MS,
);

test(
  "cgroup.events and memory.events by inotify",
  async () => {
    expect(await passed("events/cgroup.test.ts")).toHaveLength(2);
  },
  BOUND_MS,
);

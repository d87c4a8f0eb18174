/** FIFO scenarios on dist/qtfs, each compared with the same on one native FIFO; fifos.ts runs any number. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { mountTree } from "../e2e/support/mount.ts";
import { compileActor } from "./fifo/actors.ts";
import { compare } from "./fifo/compare.ts";
import { groundOf } from "./fifo/ground.ts";
import { dismiss, outcome } from "./fifo/run.ts";

const SCENARIOS = 300;
const BATCH = 25;
const SEED = 20_250_101;
const MINUTES = 60_000;

const plain = mkdtempSync(`${tmpdir()}/fifos-`);
mkdirSync(`${plain}/native`);
const { path, remove } = compileActor();
const share = await mountTree();
afterAll(async () => {
  dismiss();
  await share.close();
  remove();
  rmSync(plain, { recursive: true });
});
const native = groundOf(path, `${plain}/native`, `${plain}/native`);
const shared = groundOf(path, share.mountpoint, share.tree);

for (let first = 0; first < SCENARIOS; first += BATCH) {
  test(
    `scenarios ${first} to ${first + BATCH - 1} of seed ${SEED}`,
    async () => {
      const differences: string[] = [];
      for (let i = first; i < first + BATCH; i++) {
        const { difference } = compare(i, SEED, native, shared);
        if (difference !== undefined) differences.push(difference);
        await Bun.sleep(0);
      }
      expect(differences).toEqual([]);
    },
    2 * MINUTES,
  );
}

test("the comparison finds two FIFOs that are not joined to differ", () => {
  mkdirSync(`${plain}/dpu`);
  mkdirSync(`${plain}/host`);
  const apart = {
    ...groundOf(path, `${plain}/dpu`, `${plain}/host`),
    make(name: string): void {
      for (const side of ["dpu", "host"]) groundOf(path, "", `${plain}/${side}`).make(name);
    },
    remove(name: string): void {
      for (const side of ["dpu", "host"]) groundOf(path, "", `${plain}/${side}`).remove(name);
    },
  };
  const scenario = {
    seed: 0,
    sides: ["dpu", "host"],
    steps: [
      { actor: 0, command: "o2048", answers: [0] },
      { actor: 1, command: "o2049", answers: [1] },
    ],
  } as const;
  expect(outcome(scenario, native, 0)).not.toEqual(outcome(scenario, apart, 0));
});

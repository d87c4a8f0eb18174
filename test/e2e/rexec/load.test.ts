/** Small forms of the proofs; the whole: `bun test/e2e/rexec/load.ts`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { atOnce, bothWays, inARow, stoppedReader } from "./proofs.ts";
import { Stage } from "./stage.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin();
});
afterAll(async () => {
  await stage.end();
});

test("128 MiB each way at once, through little memory", async () => {
  expect(await bothWays(stage, 128 << 20)).toContain("128 MiB each way");
});

test("a reader that stops stops the writer", async () => {
  expect(await stoppedReader(stage, 4)).toContain("underway");
});

test("25 at once leave nothing behind", async () => {
  expect(await atOnce(stage, 25)).toContain("no child");
}, 120_000);

test("100 in a row leave nothing behind", async () => {
  expect(await inARow(stage, 100, 4)).toContain("no child");
}, 120_000);

/** A container outlives its managers, the link and qtfs; offload.ts goes on for any number of rounds. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KINDS, strikesOf } from "./offload/strikes.ts";
import { World } from "./offload/world.ts";

const MINUTE = 60_000;
const SEED = 1;
let world: World;

beforeAll(async () => {
  world = await World.begin();
}, MINUTE);
afterAll(() => world?.end(), MINUTE);

for (const strike of strikesOf(SEED, KINDS.length)) {
  test(
    `${strike.kind}, ${strike.downMs} ms`,
    async () => {
      await world.round(strike);
    },
    2 * MINUTE,
  );
}

test(
  "nothing is left after down",
  async () => {
    expect(await world.finish()).toBe("");
  },
  MINUTE,
);

test("all kinds come before one comes again, and a seed repeats them", () => {
  const strikes = strikesOf(7, 2 * KINDS.length);
  expect(strikes).toEqual(strikesOf(7, 2 * KINDS.length));
  const first = strikes.slice(0, KINDS.length).map(({ kind }) => kind);
  expect(new Set(first).size).toBe(KINDS.length);
});

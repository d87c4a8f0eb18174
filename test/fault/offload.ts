/**
 * Daemons killed, links cut and qtfs killed while a container runs by `qtfs offload`:
 *
 *   bun test/fault/offload.ts [--rounds N] [--seed S] [--kinds dockerd,containerd,cut,…]
 *
 * Ends with 1 if the container was lost, did not go on, or anything is left that was another's, be
 * it after a round or after `offload down`.
 */
import { parseArgs } from "node:util";
import { KINDS, strikesOf } from "./offload/strikes.ts";
import { World } from "./offload/world.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    kinds: { type: "string", default: KINDS.join(",") },
  },
});
const kinds = values.kinds.split(",").map((name) => {
  const kind = KINDS.find((one) => one === name);
  if (kind === undefined) throw new Error(`No kind ${name}; there are ${KINDS.join(", ")}`);
  return kind;
});
const strikes = strikesOf(Number(values.seed), Number(values.rounds), kinds);
const world = await World.begin();
const beganMs = performance.now();
let bad = 0;
try {
  for (const [i, strike] of strikes.entries()) {
    try {
      await world.round(strike);
    } catch (error) {
      bad++;
      console.log(`round ${i}, ${strike.kind}, ${strike.downMs} ms: ${(error as Error).message}`);
    }
  }
  const left = await world.finish();
  if (left !== "") {
    bad++;
    console.log(`left after down:\n${left}`);
  }
} finally {
  await world.end();
}
const seconds = Math.round((performance.now() - beganMs) / 1000);
console.log(`${strikes.length} rounds of seed ${values.seed} in ${seconds} s: ${bad} bad`);
process.exit(bad === 0 ? 0 : 1);

/**
 * A daemon that has a keeper and nothing else: `bun keeperchild.ts FUSE RECORD
 * COMMAND…`, the first two being files that stand for the descriptors. It says its
 * keeper's process, and what the keeper tells it; a line on standard input dismisses.
 */
import { openSync, writeSync } from "node:fs";
import { Keeper } from "../../src/client/keeper.ts";

const [fuse = "", record = "", ...command] = process.argv.slice(2);
const own = { fuse: openSync(fuse, "r"), record: openSync(record, "r"), channels: -1, twins: -1 };
const keeper = new Keeper(command, own, () => {
  writeSync(1, "gone\n");
});
writeSync(1, `${keeper.pid}\n`);
process.stdin.once("data", () => {
  keeper.dismiss();
  keeper.dismiss();
  writeSync(1, "dismissed\n");
});

/** Who holds the mount, when those who do are killed or are of no use. */
import { afterEach, expect, test } from "bun:test";
import { openSync } from "node:fs";
import type { Kept } from "../../src/client/keeper.ts";
import { Succession } from "../../src/client/succession.ts";
import { until } from "../support/server.ts";

const nothing = openSync("/dev/null", "r");
const own: Kept = { fuse: nothing, record: nothing, channels: -1, twins: -1 };
let succession: Succession;
let logged: string[];

function begin(): void {
  logged = [];
  const log = (_level: string, text: string) => logged.push(text);
  succession = new Succession({ successor: ["true"], store: undefined, log }, () => own);
  succession.keep();
}

afterEach(() => succession.dismiss());

test("a keeper that is killed has a successor at once", async () => {
  begin();
  const first = succession.pid as number;
  process.kill(first, "SIGKILL");
  await until(() => logged.length === 1, "it is told of");
  expect(succession.isKept).toBe(true);
  expect(succession.pid).not.toBe(first);
});

test("keepers that end at once are started ever more seldom", async () => {
  begin();
  for (let ends = 1; ends <= 5; ends++) {
    await until(() => succession.isKept, "there is one");
    process.kill(succession.pid as number, "SIGKILL");
    await until(() => logged.length === ends, "it is told of");
  }
  const waits = logged.slice(1).map((text) => Number(/another in ([\d.]+) s/.exec(text)?.[1]));
  expect(waits).toEqual([0.01, 0.02, 0.04, 0.08]);
  await until(() => succession.isKept, "there is another in the end");
});

/**
 * FIFO scenarios on dist/qtfs, each compared with the same on one native FIFO:
 *
 *   bun test/fault/fifos.ts [--scenarios N] [--seed S] [--first I] [--clients]
 *
 * With --clients the two machines are two mounts of one server, and neither is the HOST. Ends with 1 if any differed.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { mountTree } from "../e2e/support/mount.ts";
import { QTFS } from "../e2e/support/server.ts";
import { compileActor } from "./fifo/actors.ts";
import { compare } from "./fifo/compare.ts";
import { groundOf } from "./fifo/ground.ts";
import { dismiss } from "./fifo/run.ts";

const { values } = parseArgs({
  options: {
    scenarios: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
    clients: { type: "boolean", default: false },
  },
});
const [count, seed, first] = [values.scenarios, values.seed, values.first].map(Number) as [
  number,
  number,
  number,
];

const plain = mkdtempSync(`${tmpdir()}/fifos-`);
mkdirSync(`${plain}/native`);
const { path, remove } = compileActor();
const share = await mountTree();
const other = `${plain}/other`;
if (values.clients) {
  mkdirSync(other);
  const server = `server=${share.server?.address}`;
  const mounted = Bun.spawnSync([QTFS, "mount", "-o", server, share.tree, other]);
  if (!mounted.success) throw new Error(mounted.stderr.toString());
}
const shared = groundOf(path, share.mountpoint, values.clients ? other : share.tree);
const native = groundOf(path, `${plain}/native`, `${plain}/native`);
const tries = [0, 0, 0];
let differed = 0;
const beganMs = performance.now();
try {
  for (let i = first; i < first + count; i++) {
    const verdict = compare(i, seed, native, shared);
    if (verdict.difference !== undefined) {
      differed++;
      console.log(verdict.difference);
    } else tries[verdict.tries - 1] = (tries[verdict.tries - 1] ?? 0) + 1;
    if ((i + 1) % 500 === 0) console.log(`${i + 1 - first} done, ${differed} differed`);
    // Bun reaps the processes that were killed.
    await Bun.sleep(0);
  }
} finally {
  dismiss();
  if (values.clients) Bun.spawnSync(["umount", other]);
  await share.close();
  remove();
  rmSync(plain, { recursive: true });
}
const seconds = Math.round((performance.now() - beganMs) / 1000);
console.log(
  `${count} scenarios of seed ${seed} in ${seconds} s: ${differed} differed; ` +
    `the same at the first, second and third try: ${tries.join(", ")}`,
);
process.exit(differed === 0 ? 0 : 1);

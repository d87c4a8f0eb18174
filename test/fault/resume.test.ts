/** How soon callers go on once a link that was down for a second is back. */
import { expect, test } from "bun:test";
import type { ProxyFault } from "./proxy/faults.ts";
import { withStage } from "./scenarios/with-stage.ts";

const LOOP = new URL("./scenarios/caller-loop.ts", import.meta.url).pathname;
const DOWN_MS = 1000;
/** What is to be reached is 200 ms; a busy machine may be late. */
const BOUND_MS = 5000;
const ENOENT = 2;

const cut = (down: "refuse" | "drop" | "silence"): ProxyFault => {
  return { fault: "cut", how: "reset", downMs: DOWN_MS, down };
};
const CASES: [string, "unix" | "tcp", ProxyFault][] = [
  ["refused", "unix", cut("refuse")],
  ["refused", "tcp", cut("refuse")],
  ["dropped", "unix", cut("drop")],
  ["silent", "tcp", cut("silence")],
  ["stalled", "tcp", { fault: "stall", toward: "both", forMs: DOWN_MS, after: "go on" }],
  ["stalled, then reset", "tcp", { fault: "stall", toward: "both", forMs: DOWN_MS, after: "cut" }],
];

test.each(CASES)("a link that was %s for a second: %s", async (what, kind, fault) => {
  await withStage({ kind }, async (stage) => {
    const child = Bun.spawn([process.execPath, LOOP, stage.mountpoint], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await Bun.sleep(300);
    const { atMs: backMs } = await stage.proxy.do(fault).over;
    await Bun.sleep(BOUND_MS / 5);
    child.stdin.end();
    const lines = (await child.stdout.text()).trim().split("\n").slice(1);
    const long = lines.map((line) => JSON.parse(line) as { toMs: number; errno: number });
    expect(long.map(({ errno }) => errno)).toEqual([ENOENT]);
    const resumeMs = (long[0]?.toMs ?? Infinity) - backMs;
    console.log(`${kind}, ${what}: the first answer ${Math.round(resumeMs)} ms after the link`);
    expect(resumeMs).toBeLessThan(BOUND_MS);
  });
});

/** A server that stays away for longer than the mount's bound: errors in time, and all works again when it returns. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { buildCaller, Caller, stop } from "../e2e/mounts/caller.ts";
import { run } from "../e2e/support/run.ts";
import { AWAY_ERRORS, checkErrors, checkTree } from "./check/outcome.ts";
import { withStage } from "./scenarios/with-stage.ts";
import type { Stage } from "./stage.ts";
import { Crew, prepareRoot } from "./workload/crew.ts";
import { lookAt } from "./workload/look.ts";

const TIMEOUT_S = 2;
/** How long after the bound a call must have failed. */
const SLACK_MS = 6000;
const AWAY_MS = 2 * TIMEOUT_S * 1000;
const ANSWER_MS = 15_000;
const ERRNOS = [5, 107];
const CALLS = ["stat", "open", "read", "write", "mkdir", "readdir", "fsync", "rename", "setlk"];

/** How a server goes away, and how it comes back. */
const WAYS: [string, (stage: Stage) => Promise<() => Promise<void>>][] = [
  [
    "killed",
    async (stage) => {
      await stage.killServer();
      return () => stage.startServer();
    },
  ],
  [
    "stopped",
    async (stage) => {
      await stop(stage.serverPid);
      return async () => {
        process.kill(stage.serverPid, "SIGCONT");
      };
    },
  ],
  [
    "behind a link that swallows everything",
    async (stage) => {
      const downMs = AWAY_MS + TIMEOUT_S * 1000 + SLACK_MS;
      const cut = { fault: "cut", how: "end", downMs, down: "silence" } as const;
      const { begun, over } = stage.proxy.do(cut);
      await begun;
      return async () => {
        await over;
      };
    },
  ],
];

/** Waits until a name that nobody knows is looked up: calls fail until the mount has found its server. */
async function answers(stage: Stage): Promise<void> {
  const endMs = performance.now() + ANSWER_MS;
  for (let i = 0; ; i++) {
    const { stderr } = await run(["stat", `${stage.mountpoint}/probe-${i}`]);
    if (stderr.includes("No such file")) return;
    if (performance.now() > endMs) throw new Error(`The mount does not answer: ${stderr}`);
  }
}

test.each(WAYS)(
  "%s: callers fail in time, and their files work again",
  async (_, leave) => {
    const options = [`timeout=${TIMEOUT_S}`];
    await withStage({ kind: "unix", options }, async (stage, directory) => {
      const program = await buildCaller(directory);
      const prepare = async (name: string, turn: number) => {
        const place = `place-${name}-${turn}`;
        mkdirSync(`${stage.tree}/${place}`);
        writeFileSync(`${stage.tree}/${place}/file`, Buffer.alloc(1 << 20, name));
        const below = { readdir: "", mkdir: "/absent" }[name] ?? "/file";
        return await new Caller(program, name, `${stage.mountpoint}/${place}${below}`).ready();
      };
      const callers = await Promise.all(CALLS.map((name) => prepare(name, 0)));
      const later = await Promise.all(CALLS.map((name) => prepare(name, 1)));
      try {
        const back = await leave(stage);
        for (const caller of callers) caller.go();
        const boundMs = TIMEOUT_S * 1000 + SLACK_MS;
        for (const caller of callers) {
          expect([caller.operation, ERRNOS]).toEqual([
            caller.operation,
            expect.arrayContaining([await caller.errno(boundMs)]),
          ]);
        }
        await back();
        await answers(stage);
        // What was open before is used now.
        for (const caller of later) caller.go();
        for (const caller of later) {
          expect([caller.operation, await caller.errno(ANSWER_MS)]).toEqual([caller.operation, 0]);
        }
      } finally {
        await Promise.all([...callers, ...later].map((one) => one.end()));
      }
    });
  },
  90_000,
);

test.each(WAYS)(
  "%s: what callers were told has failed has happened or not, and all else is there",
  async (_, leave) => {
    const options = [`timeout=${TIMEOUT_S}`];
    await withStage({ kind: "tcp", options }, async (stage, directory) => {
      prepareRoot(stage.tree);
      // A page that cannot be had ends a process by SIGBUS; locks may be lost with a session.
      // The kernel counts links itself: one that was told EIO and happened is not counted (README, Limits).
      const words = ["--patient", "--without", "map,count,hold,verify,drop,orphan,link"];
      const scratch = `${directory}/logs`;
      const root = stage.mountpoint;
      const crew = new Crew({ root, scratch, seed: 99, stuckMs: 40_000, words });
      await crew.working();
      await Bun.sleep(300);
      const back = await leave(stage);
      await Bun.sleep(AWAY_MS);
      await back();
      await Bun.sleep(1000);
      await crew.finish();
      const steps = crew.steps();
      const failed = steps.flat().filter(({ outcome }) => outcome?.error !== undefined);
      expect(failed.length).toBeGreaterThan(0);
      expect([...crew.problems, ...checkErrors(steps, AWAY_ERRORS)]).toEqual([]);
      expect(checkTree(steps, lookAt(stage.tree))).toEqual([]);
    });
  },
  90_000,
);

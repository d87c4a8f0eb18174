import { afterAll, expect, test } from "bun:test";
import { Loop } from "../../../src/bridge/loop.ts";
import { Orphans } from "../../../src/rexec/server/orphans.ts";
import type { ProgramReport } from "../../../src/rexec/server/register.ts";

const children: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

/** A program that runs in a process group of its own. */
function sleeper(): Bun.Subprocess {
  const child = Bun.spawn(["sleep", "60"], {
    stdio: ["ignore", "ignore", "ignore"],
    detached: true,
  });
  children.push(child);
  return child;
}

function report(pid: number, id: number, outlives: boolean): ProgramReport {
  const figures = { bytesIn: 0, bytesOut: 0, connected: true, outlives };
  return { keeper: 1, id, pid, uid: 0, peer: "", words: ["sleep"], startedMs: 0, ...figures };
}

test("a keeper is killed: programs end or go on, and their ends are told", async () => {
  const loop = new Loop();
  const told: ProgramReport[] = [];
  const orphans = new Orphans(loop, (one) => told.push(one));
  const [ends, stays, ended] = [sleeper(), sleeper(), sleeper()];
  orphans.heard(report(ends.pid, 1, false));
  orphans.heard(report(stays.pid, 2, true));
  orphans.heard(report(ended.pid, 3, false));
  orphans.heard({ ...report(ended.pid, 3, false), ending: { code: 0, signal: 0, atMs: 0 } });
  expect(orphans.orphaned()).toEqual({ ended: 1, left: 1 });
  await ends.exited;
  expect(ends.signalCode).toBe("SIGKILL");
  while (loop.turn(100) && told.length === 0);
  expect(told.map(({ id, ending }) => [id, ending?.code])).toEqual([[1, -1]]);
  expect([stays.killed, ended.exitCode]).toEqual([false, null]);
  stays.kill("SIGTERM");
  await stays.exited;
  while (loop.turn(100) && told.length === 1);
  expect(told.map(({ id }) => id)).toEqual([1, 2]);
  expect(orphans.orphaned()).toEqual({ ended: 0, left: 0 });
  loop.close();
});

import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Loop } from "../../../src/bridge/loop.ts";
import { Orphans } from "../../../src/rexec/server/orphans.ts";
import type { ProgramReport } from "../../../src/rexec/server/register.ts";
import { ProgramSlots } from "../../../src/rexec/server/slots.ts";
import { bootTimeMs } from "../../../src/sys/clock.ts";
import { PROGRAMS_MAX } from "../../../src/wire/limits.ts";

const children: Bun.Subprocess[] = [];
const directories: string[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** A program that leads a session of its own. */
function sleeper(): Bun.Subprocess {
  const child = Bun.spawn(["sleep", "60"], {
    stdio: ["ignore", "ignore", "ignore"],
    detached: true,
  });
  children.push(child);
  return child;
}

function place(): string {
  const directory = mkdtempSync(`${tmpdir()}/slots-`);
  directories.push(directory);
  return `${directory}/slots`;
}

test("slots outlive who has taken them, until they are released", () => {
  const path = place();
  const slots = new ProgramSlots(path);
  const first = slots.take(101, false, 1.5);
  slots.take(102, true, 2.5);
  slots.release(first);
  expect(new ProgramSlots(path).taken()).toEqual([
    { index: 1, pid: 102, outlives: true, startedMs: 2.5 },
  ]);
  for (let i = 1; i < PROGRAMS_MAX; i++) expect(slots.take(i, false, 0)).toBeGreaterThanOrEqual(0);
  expect(slots.take(1, false, 0)).toBe(-1);
});

test("what a keeper has left ends or goes on, and its end is told", async () => {
  const path = place();
  const before = new ProgramSlots(path);
  const [ends, stays] = [sleeper(), sleeper()];
  before.take(ends.pid, false, bootTimeMs());
  before.take(stays.pid, true, bootTimeMs());
  const told: ProgramReport[] = [];
  const loop = new Loop();
  const slots = new ProgramSlots(path);
  const orphans = new Orphans(loop, slots, (one) => told.push(one));
  expect([orphans.ended, orphans.size]).toEqual([1, 2]);
  await ends.exited;
  expect(ends.signalCode).toBe("SIGKILL");
  while (told.length === 0) loop.turn(100);
  expect(told.map(({ pid, ending }) => [pid, ending?.code])).toEqual([[ends.pid, -1]]);
  expect(orphans.reports().map(({ pid, words }) => [pid, words])).toEqual([
    [stays.pid, ["sleep", "60"]],
  ]);
  expect(orphans.signal(ends.pid, 15)).toBe(false);
  expect(orphans.signal(stays.pid, 15)).toBe(true);
  await stays.exited;
  while (told.length === 1) loop.turn(100);
  expect([orphans.size, slots.taken()]).toEqual([0, []]);
  loop.close();
});

test("a process that has the number of one is left alone", () => {
  const path = place();
  const [other, member] = [sleeper(), Bun.spawn(["sleep", "60"])];
  children.push(member);
  const before = new ProgramSlots(path);
  before.take(other.pid, false, bootTimeMs() - 60_000);
  before.take(member.pid, false, bootTimeMs());
  before.take(0x3fff_ffff, false, bootTimeMs());
  const loop = new Loop();
  const slots = new ProgramSlots(path);
  const orphans = new Orphans(loop, slots, () => {});
  expect([orphans.size, slots.taken()]).toEqual([0, []]);
  expect([other.killed, member.killed, other.exitCode]).toEqual([false, false, null]);
  process.kill(other.pid, 0);
  process.kill(member.pid, 0);
  loop.close();
});

/** Process numbers of programs under a supervisor: whose they are. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Machine } from "../support/machine.ts";
import type { Program } from "../support/program.ts";
import { Stage } from "./stage.ts";

const [TERM, TERMINATED, UNUSED] = [15, 143, 4_194_303];

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

/** A program that waits, of the number `pid` if that is free: what stands for it, and its number. */
async function waiting(machine: Machine, pid?: number, under = false): Promise<[Program, number]> {
  const next = pid === undefined ? "" : `echo ${pid - 1} >/proc/sys/kernel/ns_last_pid;`;
  const script = `${next} exec 3<&0; sh -c 'echo $$; exec sleep 60' <&3 & wait $!`;
  const words = ["bash", "-c", script];
  const program = machine.spawn(under ? stage.under(words) : words);
  await program.prints(/^\d+\n/);
  return [program, Number(program.stdout.split("\n")[0])];
}

test("one that this machine has not is the HOST's", async () => {
  // A number that is free here: those of this machine are low.
  const [program, pid] = await waiting(stage.host, 300_000);
  const cpus = await stage.host.sh(`taskset -p ${pid}`);
  const printed = await stage.calls(
    `kill ${pid} 0`,
    `user 65534 kill ${pid} ${TERM}`,
    `kill ${pid} 65`,
    `pidfd_open ${pid}`,
    `kill ${UNUSED} 0`,
    `pidfd_open ${UNUSED}`,
  );
  expect(printed).toEqual(["0", "EPERM", "EINVAL", "3", "ESRCH", "ESRCH"]);
  expect(await stage.lines(`taskset -p ${pid}; taskset -p 1 ${pid} >/dev/null`)).toEqual([
    cpus.trimEnd(),
  ]);
  expect(await stage.host.sh(`taskset -p ${pid}`)).toContain("mask: 1\n");
  expect(await stage.calls(`tgkill ${pid} ${pid} ${TERM}`)).toEqual(["0"]);
  expect(await program.ended()).toBe(TERMINATED);
});

test("of two the HOST's is meant, unless this machine's is supervised", async () => {
  const [there, pid] = await waiting(stage.host, 310_000);
  const [stranger, same] = await waiting(stage.dpu, pid);
  expect(same).toBe(pid);
  expect(await stage.calls(`kill ${pid} ${TERM}`)).toEqual(["0"]);
  expect(await there.ended()).toBe(TERMINATED);
  // Only this machine has it now.
  expect(await stage.calls(`kill ${pid} ${TERM}`)).toEqual(["0"]);
  expect(await stranger.ended()).toBe(TERMINATED);

  const [other, number] = await waiting(stage.host, 320_000);
  const [supervised, own] = await waiting(stage.dpu, number, true);
  expect(own).toBe(number);
  expect(await stage.calls(`kill ${number} ${TERM}`)).toEqual(["0"]);
  expect(await supervised.ended()).toBe(TERMINATED);
  expect(other.hasEnded).toBe(false);
  await stage.host.sh(`kill ${number}`);
});

test("a program and what it starts, groups and init", async () => {
  const printed = await stage.lines(`
    set -m
    sleep 60 & child=$!
    ${stage.program} kill $child 0
    ${stage.program} pidfd_open $child
    ${stage.program} kill -$child 0
    ${stage.program} kill 1 0
    ${stage.program} kill $$ 0
    kill $child; wait $child || echo $?`);
  expect(printed).toEqual(["0", "3", "0", "0", "0", `${TERMINATED}`]);
});

test("a Go program, whose runtime sends itself signals", async () => {
  // dockerd and containerd are such; docker is what there is on every machine of the tests.
  const printed = await stage.lines("go version");
  expect(printed[0]).toContain("go version");
});

/** Callers in the midst of what else a process does: execve(2), its death, many of them at once. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { sh } from "../support/run.ts";
import { ProcStage } from "./stage.ts";

const EXECUTIONS = 40;
let stage: ProcStage;

beforeAll(async () => {
  stage = await ProcStage.start();
  const program = `${stage.root}/tmp/storm`;
  const source = `${import.meta.dir}/storm.c`;
  await sh(`cc -std=gnu11 -O1 -Wall -Wextra -Werror -pthread -o ${program} ${source}`);
});
afterAll(async () => {
  await stage.close();
});

test("threads that walk do not hold up execve, nor does it hold up the mount", async () => {
  await stage.onHost(`cp ${stage.root}/tmp/storm /opt/storm`);
  const marker = `/proc/${stage.marker}`;
  const links = [`${marker}/exe`, `${marker}/cwd`, `${marker}/fd/7`, "/proc/self/exe"];
  const run = `/tmp/storm ${EXECUTIONS} ${links.join(" ")} ${marker}/root/opt/storm 2>/dev/null`;
  const several = `for i in 1 2 3; do ${run} & done; wait`;
  expect(await stage.lines(several)).toEqual(["done", "done", "done"]);
});

test("a caller that is killed in the midst of a walk leaves the mount as it was", async () => {
  const marker = `/proc/${stage.marker}`;
  const walk = `while :; do ls -l /proc/self/fd ${marker}/fd ${marker}/root/ /proc >/dev/null 2>&1 || :; done`;
  const kill = `for i in 1 2 3 4; do ( ${walk} ) & pids="$pids $!"; done; sleep 0.5; kill -KILL $pids`;
  expect(await stage.lines(`pids=; ${kill}; cat ${marker}/cwd/who`)).toEqual(["from the HOST"]);
});

test("threads that were killed with their process are answered for all the others", async () => {
  const script = `
    for i in $(seq 20); do
      timeout -s KILL 0.05 /tmp/storm 1000 /proc/${stage.marker}/exe /proc/self/exe >/dev/null 2>&1 || :
    done
    readlink /proc/${stage.marker}/exe`;
  expect(await stage.lines(script)).toEqual(["/usr/bin/sleep"]);
});

/** pidfds of the HOST's processes, for programs under a supervisor. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Program } from "../support/program.ts";
import { Stage } from "./stage.ts";

const [TERM, TERMINATED] = [15, 143];

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

/** A program of the HOST's that waits, under a number that the DPU has not: and that. */
async function waiting(pid: number): Promise<[Program, number]> {
  const script = `echo ${pid - 1} >/proc/sys/kernel/ns_last_pid; exec 3<&0
    sh -c 'echo $$; exec sleep 60' <&3 & wait $!`;
  const program = stage.host.spawn(["bash", "-c", script]);
  await program.prints(/^\d+\n/);
  return [program, Number(program.stdout.split("\n")[0])];
}

test("its end is heard of, and it is signalled there", async () => {
  const [there, pid] = await waiting(300_000);
  const here = stage.dpu.spawn(stage.under([stage.program, "pidfd", `${pid}`, `${TERM}`]));
  await here.prints(/ready\n/);
  here.say("go\n");
  // poll: runs; waitid: nobody's child; pidfd_getfd; ready; signal; poll: ended; signal 0.
  const said = ["0", "ECHILD", "EPERM", "ready", "0", "1", "ESRCH", ""];
  expect((await here.output()).split("\n")).toEqual(said);
  expect(await there.ended()).toBe(TERMINATED);
});

test("who may not signal it", async () => {
  const [there, pid] = await waiting(301_000);
  const words = [stage.program, "user", "65534", "pidfd", `${pid}`, `${TERM}`];
  const here = stage.dpu.spawn(stage.under(words));
  await here.prints(/ready\n/);
  here.say("go\n");
  await here.prints(/ready\nEPERM\n/);
  expect(there.hasEnded).toBe(false);
  await stage.host.sh(`kill ${pid}`);
  expect((await here.output()).split("\n").slice(-3)).toEqual(["1", "ESRCH", ""]);
});

test("a server that is killed, or is away when it ends", async () => {
  const [, pid] = await waiting(304_000);
  const [, other] = await waiting(305_000);
  const script = `${stage.program} pidfd_end ${pid} & ${stage.program} pidfd_end ${other}; wait $!`;
  const here = stage.dpu.spawn(stage.under(["bash", "-c", script]));
  await here.prints(/ready\nready\n/);
  await stage.machines.restartServer();
  await stage.host.sh(`kill ${pid}`);
  await here.prints(/1\n/);
  await stage.host.sh(`kill ${other}`);
  await stage.machines.restartServer();
  expect((await here.output()).split("\n")).toEqual(["ready", "ready", "1", "1", ""]);
});

test("a supervisor that is killed", async () => {
  const [, pid] = await waiting(302_000);
  const script = `
    ${stage.program} pidfd_end ${pid} & waiting=$!
    read -r word
    ${stage.program} pidfd ${pid} ${TERM}
    wait $waiting`;
  const here = stage.dpu.spawn(stage.under(["bash", "-c", script]));
  await here.prints(/ready\n/);
  const standIns = "pgrep -f '^qtfs-stand-in/s[h]'";
  const before = await stage.dpu.sh(standIns);
  await stage.dpu.sh(`
    socket=$(ls /run/qtfs/control/supervisor-*.sock)
    supervisor=\${socket##*-} supervisor=\${supervisor%.sock}
    kill -KILL $supervisor
    until [ "$(ls /run/qtfs/control/supervisor-*.sock)" != "$socket" ]; do sleep 0.02; done`);
  here.say("go\n");
  await here.prints(/ready\n(.*\n)*ready\n/);
  // One process stands for it still, and ends with it.
  expect(await stage.dpu.sh(standIns)).toBe(before);
  here.say("go\n");
  const printed = (await here.output()).split("\n");
  expect(printed.filter((line) => line === "1")).toHaveLength(2);
  expect(await here.ended()).toBe(0);
  expect(await stage.dpu.sh(`${standIns} || echo none`)).toBe("none\n");
});

test("one that goes on when nobody is supervised any more", async () => {
  const [there, pid] = await waiting(303_000);
  expect(await stage.calls(`pidfd_open ${pid}`, `pidfd_open ${pid}`)).toEqual(["3", "3"]);
  await stage.dpu.sh("while pgrep -f '^qtfs-stand-in/s[h]'; do sleep 0.02; done");
  expect(there.hasEnded).toBe(false);
  await stage.host.sh(`kill ${pid}`);
});

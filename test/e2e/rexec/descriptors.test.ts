/** Descriptors above 2, where a program through rexec differs from the same program directly. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../support/program.ts";
import { run, Stage } from "./stage.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin();
});
afterAll(async () => {
  await stage.end();
});

const shell = (script: string) =>
  run(["bash", "-c", script], {
    env: { PATH: process.env.PATH ?? "", RUN: stage.rexec.join(" "), D: stage.directory },
  });

test("rexec does not wait for a daemon that keeps descriptors above 2", async () => {
  const before = Date.now();
  const { stdout } = await shell(
    `$RUN sh -c 'sleep 50 <&- >/dev/null 2>&1 & echo $! >&5' 5> >(cat) >/dev/null`,
  );
  process.kill(Number(stdout), "SIGKILL");
  expect(Date.now() - before).toBeLessThan(40_000);
});

test("a pipe that both ends are had of is not read in advance", async () => {
  const { stdout } = await shell(`
    mkfifo $D/loop; exec 7<>$D/loop; echo token >&7
    $RUN sh -c 'ls /proc/self/fd | grep -c 7'
    read -t 10 word <&7; echo $word`);
  expect(stdout).toBe("0\ntoken\n");
});

test("a file that is read and written and is not there, is left out", async () => {
  const { stdout } = await shell(`
    exec 7<>$D/gone; rm $D/gone; $RUN sh -c 'echo x >&7' 2>/dev/null; echo $?`);
  expect(stdout).not.toBe("0\n");
});

test("--fd chooses, and what cannot be passed is an error then", async () => {
  const list = `sh -c 'for n in 3 4 5; do [ -e /proc/self/fd/$n ] && echo $n; done; :'`;
  const chosen = await shell(`
    exec 3</etc/passwd 4</etc/passwd 5</
    $RUN --fd 4 ${list}; echo; $RUN --fd none ${list}; echo; $RUN ${list}; $RUN --fd 5 true; echo $?`);
  expect(chosen.stdout).toBe("4\n\n\n3\n4\n125\n");
  expect(chosen.stderr).toBe("rexec: Descriptor 5 is a directory, which cannot be passed\n");
});

test("sockets that were opened for rexec are opened for the program", async () => {
  const said = `sh -c 'echo $(($LISTEN_PID - $$)) $LISTEN_FDS $LISTEN_PIDFDID; cat <&3'`;
  const activated = (count: number, pid: string, command = "$RUN") =>
    shell(`exec 3< <(echo three); export LISTEN_FDS=${count} LISTEN_PID=${pid} LISTEN_PIDFDID=1
      exec ${command} ${said}`);
  expect((await activated(1, "$$")).stdout).toBe("0 1\nthree\n");
  // Not all of them, or they were meant for another: as they are.
  expect((await activated(2, "$$")).stdout).toEndWith(" 2 1\nthree\n");
  expect((await activated(1, "$(($$ + 1))")).stdout).not.toStartWith("0 1");
  expect((await activated(1, "$$", "$RUN --fd none")).stdout).not.toStartWith("0 ");
});

test("a program that cannot be started leaves a file where it was", async () => {
  const { stdout } = await shell(
    "printf '1\\n2\\n' >$D/two; (read a; $RUN nosuchprogram 2>/dev/null; cat) <$D/two",
  );
  expect(stdout).toBe("2\n");
});

test("nothing of it stays with the server", async () => {
  const script = `exec 3</etc/passwd 4> >(cat); $RUN true; ${stage.probe} listener unix $RUN ${stage.probe} accept`;
  await shell(script);
  const before = stage.descriptors;
  for (let i = 0; i < 5; i++) expect((await shell(script)).stdout).toContain("ended with 0");
  await until(
    () => stage.descriptors <= before,
    () => `${before} descriptors, not ${stage.descriptors}`,
  );
});

/**
 * What dockerd on the DPU does by itself for containers on the HOST, and many of these at once. It
 * sees the HOST's processes and devices, and those of the DPU at /local_proc.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../support/program.ts";
import { IMAGE, Stage } from "./stage.ts";

const MINUTE = 60_000;
const BOUND_MS = 45_000;
const NAME = IMAGE.replace("docker.io/library/", "");
/** At once; QTFS_CONTAINERS says how many else. */
const MANY = Number(process.env.QTFS_CONTAINERS ?? 6);
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin(['profile = "docker"', 'shares = ["/proc", "/sys"]']);
  await stage.offload("up");
  await docker(`load -i ${stage.image}`);
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

const docker = (words: string) => stage.dpu.sh(`docker -H unix:///run/docker.sock ${words}`);
const inspect = (name: string, format: string) => docker(`inspect -f '${format}' ${name}`);

/** Waits until `format` of a container is `value`. */
async function becomes(name: string, format: string, value: string): Promise<void> {
  let seen = "";
  await until(
    async () => {
      seen = (await inspect(name, format)).trim();
      return seen === value;
    },
    () => `${format} of ${name} to be ${value}; it is ${seen}`,
    BOUND_MS,
  );
}

test(
  "info warns of nothing, and /proc is the HOST's",
  async () => {
    const first = "tr '\\0' ' ' <PROC/1/cmdline";
    const here = await stage.dpu.sh(first.replace("PROC", "/proc"));
    expect(await stage.inside(first.replace("PROC", "/local_proc"))).toBe(here);
    expect(await stage.inside(first.replace("PROC", "/proc"))).toBe(
      await stage.host.sh(first.replace("PROC", "/proc")),
    );
    const { stdout, stderr } = await stage.dpu.run([
      "docker",
      "-H",
      "unix:///run/docker.sock",
      "info",
    ]);
    expect(stderr).toBe("");
    expect(stdout.match(/(WARNING|ERROR).*/g)).toBeNull();
  },
  MINUTE,
);

test(
  "who runs out of memory on the HOST is reported",
  async () => {
    const run = `run --name full --network none -m 16m --memory-swap 16m ${NAME} tail /dev/zero`;
    await docker(`${run} || [ $? = 137 ]`);
    expect(await inspect("full", "{{.State.OOMKilled}} {{.State.ExitCode}}")).toBe("true 137\n");
  },
  MINUTE,
);

test(
  "checks of health run in the container",
  async () => {
    const check =
      "--health-interval 0.5s --health-retries 1 --health-cmd 'sleep 0.3; test ! -e /bad'";
    await docker(`run -d --name checked --network none ${check} ${NAME} sleep 1000`);
    await becomes("checked", "{{.State.Health.Status}}", "healthy");
    await docker("exec checked touch /bad");
    await becomes("checked", "{{.State.Health.Status}}", "unhealthy");
  },
  MINUTE,
);

test(
  "containers are started again, and not more often than was said",
  async () => {
    await docker(
      `run -d --name twice --network none --restart on-failure:2 ${NAME} sh -c 'exit 3'`,
    );
    const format = "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}";
    await becomes("twice", format, "2 exited 3");
    await docker(`run -d --name always --network none --restart always ${NAME} sleep 1000`);
    const pid = await inspect("always", "{{.State.Pid}}");
    await stage.host.sh(`kill -KILL ${pid}`);
    await becomes("always", "{{.RestartCount}} {{.State.Status}}", "1 running");
    expect(await inspect("always", "{{.State.Pid}}")).not.toBe(pid);
  },
  MINUTE,
);

test(
  `${MANY} containers are started at once, and removed at once`,
  async () => {
    await docker("ps -aq | xargs -r docker -H unix:///run/docker.sock rm -f");
    const names = Array.from({ length: MANY }, (_, i) => `many${i}`);
    await Promise.all(
      names.map((name) => docker(`run -d --name ${name} --network none ${NAME} sleep 1000`)),
    );
    expect((await docker("ps -q")).split("\n")).toHaveLength(MANY + 1);
    expect(await stage.host.sh("grep -c ^overlay /proc/mounts")).toBe(`${MANY}\n`);
    await Promise.all(names.map((name) => docker(`rm -f ${name}`)));
    expect(await docker("ps -aq")).toBe("");
    const left = `grep -E '^overlay|docker/netns/' /proc/mounts || true
      pgrep -l 'shim|sleep' || true
      find /run -type p`;
    let held = "";
    await until(
      async () => {
        held = await stage.host.sh(left);
        return held === "";
      },
      () => `the end of\n${held}`,
      BOUND_MS,
    );
  },
  5 * MINUTE,
);

/** dockerd, containerd and docker in one guest, shims and containers in another: two kernels. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { IMAGE } from "../stage.ts";
import { BOUND_MS, GuestStage } from "./stage.ts";

const NAME = IMAGE.replace("docker.io/library/", "");
let stage: GuestStage;
beforeAll(async () => {
  stage = await GuestStage.begin("docker");
}, BOUND_MS);
afterAll(() => stage?.end(), BOUND_MS);

const docker = (words: string) => stage.dpu(`docker -H unix:///run/docker.sock ${words}`);
const run = (words: string) => docker(`run --network none ${words}`);
const state = () => docker("inspect -f '{{.State.Status}} {{.State.ExitCode}}' one");

test(
  "up, and an image is loaded",
  async () => {
    await stage.up();
    const seen = await docker("info -f '{{.Driver}} {{.CgroupVersion}} {{.Name}}'");
    expect(seen).toBe("overlay2 2 dpu\n");
    expect(await docker(`load -i ${stage.image}`)).toContain(`Loaded image: ${NAME}`);
  },
  BOUND_MS,
);

test(
  "run, exec, logs, top and stats: its process is one of the HOST's kernel",
  async () => {
    const [host, dpu] = await stage.boots();
    expect(host).not.toBe(dpu);
    const loop = 'trap "exit 3" TERM; while :; do sleep 0.3; done';
    await run(`-d --name one ${NAME} sh -c 'cat /proc/sys/kernel/random/boot_id; ${loop}'`);
    const pid = (await docker("inspect -f '{{.State.Pid}}' one")).trim();
    expect(await stage.host(`tr '\\0' ' ' </proc/${pid}/cmdline`)).toContain("sh -c cat /proc");
    expect(await stage.dpu("ps -eo args=")).not.toContain("while :; do sleep 0.3");
    expect(await docker("logs one")).toBe(host);
    expect(await docker("exec one sh -c 'uname -r; sleep 1'")).toBe(await stage.host("uname -r"));
    expect(await docker("top one")).toContain("while :; do sleep 0.3");
    expect(await docker("stats --no-stream --format '{{.Name}}' one")).toBe("one\n");
  },
  BOUND_MS,
);

test(
  "stop, start, kill and rm",
  async () => {
    await docker("stop -t 60 one");
    expect(await state()).toBe("exited 3\n");
    await docker("start one");
    await docker("kill one");
    await docker("wait one");
    expect(await state()).toBe("exited 137\n");
    await docker("rm one");
    expect(await docker("ps -aq")).toBe("");
  },
  BOUND_MS,
);

test(
  "a container that takes too much memory is killed, and that is known",
  async () => {
    const script = "head -c 200000000 /dev/zero | tail -c 100000000 | wc -c";
    await run(`-m 16m --name big ${NAME} sh -c '${script}'`);
    expect(await docker("inspect -f '{{.State.OOMKilled}}' big")).toBe("true\n");
    await docker("rm big");
  },
  BOUND_MS,
);

test(
  "down leaves nothing, though a container still runs",
  async () => {
    await run(`-d ${NAME} sleep 1000`);
    expect(await stage.down()).toBe("");
  },
  BOUND_MS,
);

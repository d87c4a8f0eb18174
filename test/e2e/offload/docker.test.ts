/** dockerd and its containerd on the DPU, containers on the HOST, by `qtfs offload`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../support/program.ts";
import { IMAGE, Stage } from "./stage.ts";

const MINUTE = 60_000;
const NAME = IMAGE.replace("docker.io/library/", "");
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin(['profile = "docker"']);
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

const docker = (words: string) => stage.dpu.sh(`docker -H unix:///run/docker.sock ${words}`);
const run = (words: string) => docker(`run --network none ${words}`);

test(
  "up brings dockerd up, and it loads an image",
  async () => {
    await stage.offload("up");
    expect(await docker("info -f '{{.Driver}} {{.DefaultRuntime}}'")).toBe("overlay2 runc\n");
    expect(await docker(`load -i ${stage.image}`)).toContain(`Loaded image: ${NAME}`);
  },
  MINUTE,
);

test(
  "a container runs on the HOST, and what is mounted for it is there alone",
  async () => {
    await run(
      `-d --name one ${NAME} sh -c 'echo out; trap "exit 3" TERM; while :; do sleep 0.1; done'`,
    );
    const pid = (await docker("inspect -f '{{.State.Pid}}' one")).trim();
    expect(await stage.host.sh(`tr '\\0' ' ' </proc/${pid}/cmdline`)).toContain("sh -c echo out");
    expect(await stage.dpu.sh("ps -eo args=")).not.toContain("sh -c echo out");
    expect(await stage.host.sh("grep -c ^overlay /proc/mounts")).toBe("1\n");
    expect(await docker("top one")).toContain("sh -c echo out");
    expect(await docker("logs one")).toBe("out\n");
    expect(await docker("exec one sh -c 'echo from within; sleep 1'")).toBe("from within\n");
    expect(
      await stage.dpu.sh(
        "echo piped | docker -H unix:///run/docker.sock exec -i one sh -c 'cat; sleep 1'",
      ),
    ).toBe("piped\n");
    expect(await docker("stats --no-stream --format '{{.Name}}' one")).toBe("one\n");
  },
  MINUTE,
);

test(
  "files go in and out, and into an image",
  async () => {
    await stage.dpu.sh("echo copied >/run/copy");
    await docker("cp /run/copy one:/tmp/copy");
    expect(await docker("cp one:/tmp/copy - | tar -xO")).toBe("copied\n");
    await docker("commit one two:1");
    expect(await run("--rm two:1 sh -c 'cat /tmp/copy; sleep 0.5'")).toBe("copied\n");
    expect(await run("--rm -v kept:/v two:1 sh -c 'cp /tmp/copy /v; sleep 0.5'")).toBe("");
    expect(await run("--rm -v kept:/v two:1 sh -c 'cat /v/copy; sleep 0.5'")).toBe("copied\n");
    await docker("volume rm kept");
  },
  MINUTE,
);

test(
  "pause, stop, start, kill and rm",
  async () => {
    const state = () => docker("inspect -f '{{.State.Status}} {{.State.ExitCode}}' one");
    await docker("pause one");
    expect(await state()).toBe("paused 0\n");
    await docker("unpause one");
    await docker("stop -t 10 one");
    expect(await state()).toBe("exited 3\n");
    await docker("start one");
    await docker("kill one");
    await until(
      async () => (await state()) === "exited 137\n",
      () => "the end of the container",
    );
    await docker("rm one");
    expect(await docker("ps -aq")).toBe("");
    await until(
      async () => (await stage.host.sh("cat /proc/mounts")).match(/^overlay/m) === null,
      () => "the end of the container's mount",
    );
  },
  MINUTE,
);

test(
  "a build runs its commands on the HOST",
  async () => {
    await stage.dpu.sh(`mkdir -p /run/build
      printf 'FROM ${NAME}\\nRUN hostname >/made; sleep 0.5\\nRUN ls /\\n' >/run/build/Dockerfile`);
    await stage.dpu.sh(
      "DOCKER_BUILDKIT=0 docker -H unix:///run/docker.sock build --network none -t built:1 /run/build",
    );
    expect(await run("--rm built:1 sh -c 'ls /made; sleep 0.5'")).toBe("/made\n");
  },
  MINUTE,
);

test(
  "down leaves no process and no mount, though a container still runs",
  async () => {
    await run(`-d ${NAME} sleep 1000`);
    await stage.offload("down");
    for (const machine of [stage.host, stage.dpu]) {
      const found = "ps -eo comm= | grep -E 'qtfs|docker|containerd|sleep' || true";
      expect(await machine.sh(found)).toBe("");
      expect(await machine.sh("grep -E '^overlay|fuse.qtfs|/srv/' /proc/mounts || true")).toBe("");
    }
  },
  MINUTE,
);

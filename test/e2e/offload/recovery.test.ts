/**
 * Containers outlive what their managers do not: daemons killed, a link cut, qtfs killed. Here
 * dockerd's hook is run back on the DPU.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DPU_ADDRESS } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { QTFS } from "../support/server.ts";
import { IMAGE, Stage } from "./stage.ts";

const MINUTE = 60_000;
const NAME = IMAGE.replace("docker.io/library/", "");
let stage: Stage;
let pid = "";

beforeAll(async () => {
  stage = await Stage.begin([
    'profile = "docker"',
    `rexec_back = "tcp://${DPU_ADDRESS}:7001"`,
    "[[service]]",
    'name = "dockerd"',
    'command = ["dockerd", "--containerd", "/run/containerd/containerd.sock", "--live-restore", "--iptables=false", "--ip6tables=false", "--bridge=none"]',
  ]);
  await stage.offload("up");
  await docker(`load -i ${stage.image}`);
  const script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";
  await docker(`run -d --name one --network none ${NAME} sh -c '${script}'`);
  pid = (await docker("inspect -f '{{.State.Pid}}' one")).trim();
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

const docker = (words: string) => stage.dpu.sh(`docker -H unix:///run/docker.sock ${words}`);
const up = () => stage.dpu.sh(`${QTFS} offload up --config ${stage.config}`);

/** Waits until the container, the one of old, does all that it did before. */
async function works(): Promise<void> {
  await until(
    async () => {
      const { code, stdout } = await stage.dpu.run([
        ...["docker", "-H", "unix:///run/docker.sock", "exec", "one"],
        ...["sh", "-c", "echo here; sleep 0.5"],
      ]);
      return code === 0 && stdout === "here\n";
    },
    () => "a program in the container",
  );
  expect(await docker("inspect -f '{{.State.Pid}} {{.State.Status}}' one")).toBe(
    `${pid} running\n`,
  );
  const last = Number(await docker("logs --tail 1 one"));
  await until(
    async () => Number(await docker("logs --tail 1 one")) > last,
    () => "more output of the container",
  );
}

const killOnDpu = (name: string) => stage.dpu.sh(`kill -KILL $(pgrep -x ${name})`);

for (const daemon of ["dockerd", "containerd"]) {
  test(
    `${daemon} is killed, and up starts it again`,
    async () => {
      await killOnDpu(daemon);
      await up();
      await works();
    },
    MINUTE,
  );
}

test(
  "the link is cut for 5 s",
  async () => {
    await stage.dpu.sh("ip link set wire down; sleep 5; ip link set wire up");
    await works();
  },
  MINUTE,
);

test(
  "the processes of the mounts and the supervisor are killed",
  async () => {
    await stage.dpu.sh(
      "for name in qtfs qtfs-supervisor; do kill -KILL $(pgrep -x $name) || :; done",
    );
    await up();
    await works();
  },
  MINUTE,
);

test(
  "the server of programs on the HOST is killed",
  async () => {
    await stage.host.sh("kill -KILL $(pgrep -f '^[^ ]*qtfs rexec-server')");
    await stage.host.sh(`${QTFS} offload up --side host --config ${stage.config}`);
    await works();
    await docker(`run --rm --network none ${NAME} true`);
  },
  MINUTE,
);

test(
  "the server of files on the HOST is killed while a program's output is on its way",
  async () => {
    const lines = 20_000;
    const seen = docker(
      `exec one sh -c 'i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo $i; [ $((i % 1000)) -gt 0 ] || sleep 0.1; done'`,
    );
    await stage.host.sh("kill -KILL $(pgrep -f '^[^ ]*qtfs server')");
    await stage.host.sh(`${QTFS} offload up --side host --config ${stage.config}`);
    const numbers = Array.from({ length: lines }, (_, i) => `${i + 1}\n`);
    expect(await seen).toBe(numbers.join(""));
    await works();
    await docker(`run --rm --network none ${NAME} true`);
  },
  MINUTE,
);

test(
  "the container is stopped, and what it left goes",
  async () => {
    await docker("rm -f one");
    expect(await stage.host.sh(`[ ! -e /proc/${pid} ] && echo gone`)).toBe("gone\n");
    await docker(`run --rm --network none ${NAME} true`);
    await stage.offload("down");
    const left = `grep -E '^overlay|fuse.qtfs|netns/' /proc/mounts || true
      pgrep 'qtfs|shim|docker' || true
      find /run -type p`;
    for (const machine of [stage.host, stage.dpu]) expect(await machine.sh(left)).toBe("");
  },
  MINUTE,
);

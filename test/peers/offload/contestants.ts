/** Where the daemons of containers run: all on one machine, or on a DPU with `qtfs offload`. */
import { makeImage, machine as makeMachine, ROOT, Stage } from "../../e2e/offload/stage.ts";
import type { Machine } from "../../e2e/support/machine.ts";
import { until } from "../../e2e/support/program.ts";

/** Of the profile "docker", so that both daemons do the same. */
const DOCKERD =
  "dockerd --containerd /run/containerd/containerd.sock --bridge=none --iptables=false";
const START_MS = 30_000;
/** Executables of which the time counts: the management plane, or what stands for it on the HOST. */
const PLANE = /\/(dockerd|containerd|qtfs)$/;
/** What the kernel counts times in, in /proc/PID/stat (getconf CLK_TCK). */
const TICK_MS = 10;

/** Times of a processor, in ms. */
export interface Cost {
  /** Of the processes that manage containers. */
  readonly plane: number;
  /** Of all processes of the machine, those of the containers and their commands with them. */
  readonly all: number;
}

export interface Contestant {
  readonly name: string;
  /** Runs a bash script where `docker` and `ctr` work; what it printed. */
  sh(script: string): Promise<string>;
  /** What the HOST has spent until now. */
  spent(): Promise<Cost>;
  end(): Promise<void>;
}

/** Sum over those processes of a machine that manage containers. */
async function plane(machine: Machine): Promise<number> {
  const script = `for at in /proc/[0-9]*; do
    exe=$(readlink $at/exe) && stat=$(cat $at/stat) && echo "$exe $stat"
  done 2>/dev/null || true`;
  let ticks = 0;
  for (const line of (await machine.sh(script)).split("\n")) {
    const [exe = ""] = line.split(" ", 1);
    // Behind the name in brackets: state is the first, utime and stime the 12th and 13th.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    if (PLANE.test(exe)) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}

/** What the machine's control group has spent. */
async function spent(machine: Machine): Promise<Cost> {
  const script = `cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null ||
    awk '/^usage_usec/ { print $2 "000" }' /sys/fs/cgroup/cpu.stat`;
  return { plane: await plane(machine), all: Number(await machine.sh(script)) / 1e6 };
}

/** All on one machine, without qtfs. */
export async function native(scratch: string): Promise<Contestant> {
  const machine = await makeMachine("native", scratch);
  await makeImage(`${scratch}/native`);
  machine.spawn(["containerd"]);
  const answers = async (command: string) => (await machine.run(["sh", "-c", command])).code === 0;
  await until(
    () => answers("ctr version"),
    () => "containerd",
    START_MS,
  );
  machine.spawn(DOCKERD.split(" "));
  await until(
    () => answers("docker version"),
    () => "dockerd",
    START_MS,
  );
  const sh = (script: string) => machine.sh(script, { timeoutMs: 300_000 });
  await sh(
    `docker load -qi ${scratch}/native/image.tar; ctr image import ${scratch}/native/image.tar`,
  );
  const end = () => machine.close();
  return { name: "native", sh, spent: () => spent(machine), end };
}

/** Daemons on a DPU, containers on a HOST. */
export async function offloaded(): Promise<Contestant> {
  const stage = await Stage.begin(['profile = "docker"']);
  await stage.offload("up");
  const command = ["chroot", ROOT, "bash", "-euo", "pipefail", "-c"];
  const sh = async (script: string) => {
    const { code, stdout, stderr } = await stage.dpu.run([...command, script], {
      timeoutMs: 300_000,
    });
    if (code !== 0) throw new Error(`exit code ${code} of ${script}: ${stderr}`);
    return stdout;
  };
  await sh(`docker load -qi ${stage.image}; ctr image import ${stage.image}`);
  const end = async () => {
    await stage.offload("down");
    await stage.end();
  };
  return { name: "offloaded", sh, spent: () => spent(stage.host), end };
}

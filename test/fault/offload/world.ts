/** dockerd on a DPU, and a container on the HOST that must outlive whatever happens. */
import { IMAGE, Stage } from "../../e2e/offload/stage.ts";
import { until } from "../../e2e/support/program.ts";
import { type Strike, strike } from "./strikes.ts";

const NAME = IMAGE.replace("docker.io/library/", "");
const SETTLED_MS = 40_000;
const ENDED_MS = 10_000;
const COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";

/** What a container has on a machine, counted: what is more than that has leaked. */
const HOLDINGS = `
  echo overlays $(grep -c ^overlay /proc/mounts)
  echo namespaces $(grep -c ' /run/docker/netns/' /proc/mounts)
  echo shims $(pgrep -c containerd-shim)
  echo runcs $(pgrep -c -x runc)
  echo fifos $(find /run /srv -xdev -type p | wc -l)
  echo groups $(find /sys/fs/cgroup/ -path '*/docker/*' -type d | wc -l)`;

export class World {
  readonly #stage: Stage;
  #pid = "";
  #holdings = "";

  private constructor(stage: Stage) {
    this.#stage = stage;
  }

  static async begin(): Promise<World> {
    const dockerd = ["dockerd", "--containerd", "/run/containerd/containerd.sock"];
    const options = ["--live-restore", "--iptables=false", "--ip6tables=false", "--bridge=none"];
    const stage = await Stage.begin([
      'profile = "docker"',
      "[[service]]",
      'name = "dockerd"',
      `command = ${JSON.stringify([...dockerd, ...options])}`,
    ]);
    const world = new World(stage);
    try {
      await world.#start();
    } catch (error) {
      await stage.end();
      throw error;
    }
    return world;
  }

  async #start(): Promise<void> {
    await this.#stage.offload("up");
    await this.#docker(`load -i ${this.#stage.image}`);
    await this.#docker(`run -d --name one --network none ${NAME} sh -c '${COUNTING}'`);
    this.#pid = await this.#docker("inspect -f '{{.State.Pid}}' one");
    this.#holdings = await this.#held();
  }

  #docker(words: string): Promise<string> {
    return this.#stage.dpu.sh(`docker -H unix:///run/docker.sock ${words}`);
  }

  async #held(): Promise<string> {
    return await this.#stage.host.sh(`set +e; ${HOLDINGS}; true`);
  }

  /** One strike; throws what is not as it was before when it has been made good. */
  async round(what: Strike): Promise<void> {
    await strike(this.#stage, what);
    await until(
      async () => (await this.#tries("exec one sh -c 'echo here; sleep 0.5'")) === "here\n",
      () => "a program in the container",
      SETTLED_MS,
    );
    const state = await this.#docker("inspect -f '{{.State.Pid}} {{.State.Status}}' one");
    if (state !== `${this.#pid.trim()} running\n`)
      throw new Error(`the container is lost: ${state}`);
    const last = Number(await this.#docker("logs --tail 1 one"));
    await until(
      async () => Number(await this.#docker("logs --tail 1 one")) > last,
      () => "more output of the container",
    );
    await this.#docker(`run --rm --network none ${NAME} true`);
    let held = "";
    await until(
      async () => {
        held = await this.#held();
        return held === this.#holdings;
      },
      () => `the end of what others had; it is\n${held}and was\n${this.#holdings}`,
    );
  }

  /** What a docker command prints; empty where it fails. */
  async #tries(words: string): Promise<string> {
    const script = `timeout 20 docker -H unix:///run/docker.sock ${words} || true`;
    return await this.#stage.dpu.sh(script);
  }

  /** Removes the container, undoes the offload and returns what is left of either. */
  async finish(): Promise<string> {
    await this.#docker("rm -f one");
    await this.#stage.offload("down");
    const left = `grep -E '^overlay|fuse.qtfs|netns/|/srv/' /proc/mounts || true
      pgrep -l 'qtfs|shim|docker|containerd|runc|sleep' || true
      find /run /srv -xdev -type p
      find /sys/fs/cgroup -path '*/docker/*' -type d`;
    const machines = [this.#stage.host, this.#stage.dpu];
    const endMs = performance.now() + ENDED_MS;
    let seen = "";
    // What has been told to end may take a moment.
    do {
      seen = (await Promise.all(machines.map((one) => one.sh(left)))).join("");
    } while (seen !== "" && performance.now() < endMs);
    return seen;
  }

  async end(): Promise<void> {
    await this.#stage.end();
  }
}

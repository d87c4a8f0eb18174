/**
 * Kubernetes' interface to containerd on the DPU: pods and their networks are on the HOST. kubelet
 * itself is in no package; in its place is a shell that makes what kubelet would for a pod.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { Cri } from "./cri.ts";
import { IMAGE, ROOT, Stage } from "./stage.ts";

const MINUTE = 60_000;
const STREAM = new URL("stream.ts", import.meta.url).pathname;
let stage: Stage;
let cri: Cri;

const NETWORK = {
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "pods0",
      isGateway: true,
      ipam: { type: "host-local", subnet: "10.88.0.0/24" },
    },
  ],
};

/** No pause is packaged; who may not lower a process's score may not have a pod's. */
const CONFIG = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
`;

const VOLUME = "/var/lib/kubelet/pods/uid/volumes/secret";
const KUBELET =
  `mkdir -p ${VOLUME}; mount -t tmpfs -o size=1m secret ${VOLUME}; echo kept >${VOLUME}/word
  tr '\\\\0' ' ' </proc/1/cmdline >/run/seen; ls /sys/class/net >>/run/seen; trap 'kill $!' TERM; sleep 1000 & wait $!`.replaceAll(
    "\n",
    ";",
  );

beforeAll(async () => {
  stage = await Stage.begin(
    [
      'profile = "kubelet"',
      "[[service]]",
      'name = "containerd"',
      'command = ["containerd", "--config", "/run/cri.toml"]',
      "[[service]]",
      'name = "kubelet"',
      `command = ["sh", "-euc", "${KUBELET}"]`,
    ],
    { command: ["/bin/sleep", "1000"] },
  );
  const network = `${stage.scratch}/10-pods.conflist`;
  writeFileSync(network, JSON.stringify(NETWORK));
  writeFileSync(`${stage.scratch}/cri.toml`, CONFIG);
  await stage.dpu.sh(`cp ${stage.scratch}/cri.toml /run/
    mkdir -p /etc/cni
    mount -t tmpfs tmpfs /etc/cni
    mkdir /etc/cni/net.d
    cp ${network} /etc/cni/net.d/`);
  await stage.offload("up");
  await stage.inside(`ctr -n k8s.io images import ${stage.image}`);
  cri = await connect();
}, MINUTE);
afterAll(async () => {
  cri?.close();
  await stage.end();
}, MINUTE);

/** A client, once containerd has begun to answer: its socket is there before. */
async function connect(): Promise<Cri> {
  const client = new Cri(`/proc/${stage.dpu.init}/root${ROOT}/run/containerd/containerd.sock`);
  const answers = () =>
    client.ask("Status").then(
      () => true,
      () => false,
    );
  await until(answers, () => "containerd's CRI");
  return client;
}

/** Addresses that are somebody's. */
const leases = () => stage.host.sh("ls /var/lib/cni/networks/pods | grep ^10 || true");

const pod = (name: string, network: "POD" | "NODE") => ({
  metadata: { name, uid: name, namespace: "default", attempt: 0 },
  hostname: network === "POD" ? name : "",
  log_directory: "/run/pods",
  dns_config: { servers: ["10.88.0.1"] },
  linux: {
    cgroup_parent: "/pods",
    security_context: { namespace_options: { network, pid: "CONTAINER", ipc: "POD" } },
  },
});

const container = (name: string, script: string, mounts: object[] = []) => ({
  metadata: { name },
  mounts,
  image: { image: IMAGE },
  command: ["sh", "-c", script],
  log_path: `${name}.log`,
  linux: { resources: { memory_limit_in_bytes: "67108864" } },
});

/** Starts a container in a pod that `config` was for. */
async function start(pod_sandbox_id: string, sandbox_config: object, config: object) {
  const request = { pod_sandbox_id, config, sandbox_config };
  const { container_id } = await cri.ask("CreateContainer", request);
  await cri.ask("StartContainer", { container_id });
  return container_id;
}

test(
  "a pod has an address on a bridge of the HOST, and a container in it all that CRI has",
  async () => {
    const { status } = await cri.ask("Status");
    expect(status.conditions).toContainEqual({ type: "NetworkReady", status: true });
    const config = pod("web", "POD");
    const { pod_sandbox_id } = await cri.ask("RunPodSandbox", { config });
    const about = (await cri.ask("PodSandboxStatus", { pod_sandbox_id })).status;
    expect(about.state).toBe("SANDBOX_READY");
    const { ip } = about.network;
    expect(ip).toMatch(/^10\.88\.0\./);
    expect(await stage.host.sh("ip -4 -o address show dev pods0")).toContain("inet 10.88.0.1/24");
    expect(await stage.dpu.sh("ip -o link")).not.toContain("pods0");

    const script = `echo out; echo err >&2; mkdir /w; hostname >/w/index.html
      httpd -p 80 -h /w; trap "exit 5" TERM; while :; do sleep 0.1; done`;
    const container_id = await start(pod_sandbox_id, config, container("c", script));
    const listed = await cri.ask("ListContainers");
    expect(listed.containers).toMatchObject([{ id: container_id, state: "CONTAINER_RUNNING" }]);
    const { info } = await cri.ask("ContainerStatus", { container_id, verbose: true });
    const { pid } = JSON.parse(info.info ?? "{}");
    expect(await stage.host.sh(`tr '\\0' ' ' </proc/${pid}/cmdline`)).toContain("sh -c echo out");
    const served = () => stage.host.run(["busybox", "wget", "-qO-", `http://${ip}/`]);
    await until(
      async () => (await served()).stdout === "web\n",
      () => "the web server in the pod",
    );

    const log = await stage.dpu.sh("cat /run/pods/c.log");
    expect(log).toMatch(/^\S+ stdout F out$/m);
    expect(log).toMatch(/^\S+ stderr F err$/m);
    const cmd = ["sh", "-c", "echo to out; echo to err >&2; sleep 0.5; exit 4"];
    const { stdout, stderr, exit_code } = await cri.ask("ExecSync", {
      container_id,
      cmd,
      timeout: 20,
    });
    expect([`${stdout}`, `${stderr}`, exit_code]).toEqual(["to out\n", "to err\n", 4]);
    const { stats } = await cri.ask("ContainerStats", { container_id });
    expect(Number(stats.memory.working_set_bytes.value)).toBeGreaterThan(0);
    const linux = { memory_limit_in_bytes: "134217728" };
    await cri.ask("UpdateContainerResources", { container_id, linux });

    const stream = { container_id, stdin: true, stdout: true, stderr: false, tty: true };
    const asked = await cri.ask("Exec", {
      ...stream,
      cmd: ["sh", "-c", "tty; read a; echo got $a; exit 6"],
    });
    const streamed = await stage.dpu.run([process.execPath, STREAM, asked.url, "typed\n"]);
    expect(streamed.stdout.replaceAll("\r", "")).toContain("/dev/pts/0\n");
    expect(streamed.stdout.replaceAll("\r", "")).toContain("got typed\n");
    expect(streamed.stdout).toContain('"message":"6"');

    await cri.ask("StopContainer", { container_id, timeout: 10 });
    const stopped = await cri.ask("ContainerStatus", { container_id });
    expect(stopped.status).toMatchObject({ state: "CONTAINER_EXITED", exit_code: 5 });
    await cri.ask("RemoveContainer", { container_id });
    await cri.ask("StopPodSandbox", { pod_sandbox_id });
    await cri.ask("RemovePodSandbox", { pod_sandbox_id });
    expect((await cri.ask("ListPodSandbox")).items).toEqual([]);
    for (const machine of [stage.host, stage.dpu]) {
      expect(await machine.sh("grep netns/ /proc/mounts || true")).toBe("");
    }
    expect(await leases()).toBe("");
  },
  MINUTE,
);

test(
  "kubelet's volumes are mounted on the HOST; it sees the HOST's processes and devices",
  async () => {
    await until(
      async () => (await stage.dpu.run(["cat", "/run/seen"])).stdout.includes("lo\n"),
      () => "what kubelet has seen",
    );
    const seen = await stage.dpu.sh("cat /run/seen");
    expect(seen).toContain("hostname $0");
    expect(seen).toContain(" host ");
    expect(await stage.host.sh("cat /proc/mounts")).toContain(`secret ${VOLUME} tmpfs`);
    const config = pod("volumes", "NODE");
    const { pod_sandbox_id } = await cri.ask("RunPodSandbox", { config });
    const mounts = [{ container_path: "/secret", host_path: VOLUME, readonly: true }];
    const container_id = await start(
      pod_sandbox_id,
      config,
      container("v", "exec sleep 1000", mounts),
    );
    const cmd = ["sh", "-c", "cat /secret/word; sleep 0.5"];
    const { stdout } = await cri.ask("ExecSync", { container_id, cmd, timeout: 20 });
    expect(`${stdout}`).toBe("kept\n");
    await cri.ask("StopPodSandbox", { pod_sandbox_id });
    await cri.ask("RemovePodSandbox", { pod_sandbox_id });
  },
  MINUTE,
);

test(
  "a pod with the HOST's network; containers of a pod share memory",
  async () => {
    const config = pod("node", "NODE");
    const { pod_sandbox_id } = await cri.ask("RunPodSandbox", { config });
    const write = "ip -4 -o address >/dev/shm/addresses; exec sleep 1000";
    await start(pod_sandbox_id, config, container("writer", write));
    const reader = await start(pod_sandbox_id, config, container("reader", "exec sleep 1000"));
    const cmd = [
      "sh",
      "-c",
      "until [ -s /dev/shm/addresses ]; do sleep 0.1; done; cat /dev/shm/addresses; sleep 0.5",
    ];
    const { stdout } = await cri.ask("ExecSync", { container_id: reader, cmd, timeout: 20 });
    expect(`${stdout}`).toContain("inet 10.77.0.1/");
  },
  MINUTE,
);

test(
  "down leaves nothing, though pods run; up finds them ended, and they can be removed",
  async () => {
    await stage.host.sh("ip netns add others");
    await cri.ask("RunPodSandbox", { config: pod("left", "POD") });
    cri.close();
    await stage.offload("down");
    const left = `grep -E '^overlay|fuse.qtfs|netns/cni| /run/containerd|kubelet/pods' /proc/mounts || true
      pgrep -l 'qtfs|shim|containerd|sleep' || true
      find /run -type p -o -name 'cni-*'`;
    let seen = "";
    for (const machine of [stage.host, stage.dpu]) {
      await until(
        async () => {
          seen = await machine.sh(left);
          return seen === "";
        },
        () => `the end of\n${seen}`,
      );
    }
    expect(await stage.host.sh("ip netns exec others echo there")).toBe("there\n");
    expect(await leases()).not.toBe("");

    await stage.offload("up");
    cri = await connect();
    const { items } = await cri.ask("ListPodSandbox");
    expect(items.map(({ state }) => state)).toEqual(["SANDBOX_NOTREADY", "SANDBOX_NOTREADY"]);
    for (const { id: pod_sandbox_id } of items) {
      await cri.ask("StopPodSandbox", { pod_sandbox_id });
      await cri.ask("RemovePodSandbox", { pod_sandbox_id });
    }
    expect(await leases()).toBe("");
    await stage.offload("down");
  },
  MINUTE,
);

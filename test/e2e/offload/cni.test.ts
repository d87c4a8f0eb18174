/** CNI's plugins, run on the HOST for containers that the DPU manages. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { HOST_ADDRESS } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { IMAGE, Stage } from "./stage.ts";

const MINUTE = 60_000;
let stage: Stage;

const NETWORK = {
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "pods0",
      isGateway: true,
      ipam: { type: "host-local", subnet: "10.88.0.0/24", dataDir: "/run/cni" },
    },
  ],
};

beforeAll(async () => {
  stage = await Stage.begin(['profile = "containerd"']);
  const path = `${stage.scratch}/10-pods.conflist`;
  writeFileSync(path, JSON.stringify(NETWORK));
  await stage.dpu.sh(`mkdir -p /etc/cni
    mount -t tmpfs tmpfs /etc/cni
    mkdir /etc/cni/net.d
    cp ${path} /etc/cni/net.d/`);
  await stage.offload("up");
  // Where ctr, and bridge on the HOST, look for plugins, whatever the distribution.
  const plugins = "mkdir -p /opt/cni; ln -s /usr/lib/cni /opt/cni/bin";
  await stage.inside(plugins);
  await stage.host.sh(`mount -t tmpfs tmpfs /opt; ${plugins}`);
  await stage.inside(`ctr images import ${stage.image}`);
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

test(
  "a container has an address on a bridge of the HOST",
  async () => {
    const serve = "mkdir /w; echo web >/w/index.html; exec httpd -f -p 80 -h /w";
    // ctr starts plugins itself; CRI is containerd's, which has the variable.
    const env = `CMD_NET_ADDR=tcp://${HOST_ADDRESS}:7001`;
    await stage.inside(`${env} ctr run -d --cni ${IMAGE} web sh -c '${serve}'`);
    const script = "ip -4 -o address show dev eth0; sleep 1";
    const addresses = await stage.inside(`ctr task exec --exec-id a web sh -c '${script}'`);
    const [, address] = /inet (10\.88\.0\.\d+)\/24/.exec(addresses) ?? [];
    expect(address).toBeDefined();
    expect(await stage.host.sh("ip -4 -o address show dev pods0")).toContain("inet 10.88.0.1/24");
    expect(await stage.dpu.sh("ip -o link")).not.toContain("pods0");
    await until(
      async () =>
        (await stage.host.run(["busybox", "wget", "-qO-", `http://${address}/`])).stdout ===
        "web\n",
      () => "the web server in the container",
    );
    await stage.inside("ctr task kill -s KILL web");
    await until(
      async () => (await stage.inside("ctr task ls")).includes("STOPPED"),
      () => "the end of the container",
    );
    await stage.inside("ctr task rm web || [ $? = 137 ]; ctr container rm web");
  },
  MINUTE,
);

test("down leaves no container", () => stage.offload("down"), MINUTE);

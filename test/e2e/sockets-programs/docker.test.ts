/** dockerd and containerd on one machine; docker and ctr on the other, by their sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { Machines, type Way } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";
import type { Program } from "../support/program.ts";
import { sh } from "../support/run.ts";

const MINUTES = 60_000;
const machines = await Machines.start();
afterAll(() => machines.close());
const image = `${machines.scratch}/image.tar`;

/** An image of one program, in the form of `docker save`. */
beforeAll(async () => {
  const work = `${machines.scratch}/image`;
  mkdirSync(`${work}/root`, { recursive: true });
  mkdirSync(`${work}/tar`);
  await buildPeer(`${work}/root`);
  await sh(`tar -C ${work}/root -cf ${work}/tar/layer.tar peer`);
  const sum = (await sh(`sha256sum <${work}/tar/layer.tar`)).split(" ")[0];
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["/peer", "cat"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${sum}`] },
  };
  const manifest = { Config: "config.json", RepoTags: ["peer:1"], Layers: ["layer.tar"] };
  writeFileSync(`${work}/tar/config.json`, JSON.stringify(config));
  writeFileSync(`${work}/tar/manifest.json`, JSON.stringify([manifest]));
  await sh(`tar -C ${work}/tar -cf ${image} .`);
}, MINUTES);

/** Starts both daemons with their sockets in `here`, and their data beside the share. */
async function start({ server }: Way, here: string): Promise<Program[]> {
  const data = `${machines.scratch}/docker${here.split("/").at(-1)}`;
  mkdirSync(data);
  // Of the machine's own, and short: there are sockets in it.
  const run = "/run/docker-of-test";
  const settings = [
    "version = 2",
    `root = "${data}/lib/containerd"`,
    `state = "${run}/containerd"`,
    // It would make a directory in /opt.
    'disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.grpc.v1.cri"]',
    "[grpc]",
    `address = "${here}/containerd.sock"`,
  ];
  writeFileSync(`${data}/containerd.toml`, settings.map((line) => `${line}\n`).join(""));
  const containerd = server.spawn(["containerd", "-c", `${data}/containerd.toml`]);
  await containerd.prints("containerd successfully booted");
  const network = ["--iptables=false", "--ip6tables=false", "--bridge=none"];
  const dockerd = server.spawn([
    ...["dockerd", "-H", `unix://${here}/docker.sock`, "--containerd", `${here}/containerd.sock`],
    ...["--data-root", `${data}/lib/docker`, "--exec-root", `${run}/docker`],
    ...["-p", `${run}.pid`, "--storage-driver", "vfs", ...network],
  ]);
  await dockerd.prints("API listen on");
  return [dockerd, containerd];
}

describe.each(machines.ways)("$name", (way) => {
  const { server, client } = way;
  const words = (command: string) => command.split(" ");
  let here = "";
  let ctr = "";
  let docker = "";
  let daemons: Program[] = [];
  beforeAll(async () => {
    here = way.directory();
    ctr = `ctr -a ${here}/containerd.sock`;
    docker = `docker -H unix://${here}/docker.sock`;
    daemons = await start(way, here);
  }, MINUTES);
  afterAll(async () => {
    for (const daemon of daemons) if (!daemon.hasEnded) await daemon.stop();
  }, MINUTES);

  test(
    "ctr -a: images, and a container whose FIFOs the client makes",
    async () => {
      expect(await client.sh(`${ctr} version`)).toContain("Server:");
      await client.sh(`${ctr} images import ${image}`);
      expect(await client.sh(`${ctr} images ls -q`)).toContain("peer:1");
      const events = client.spawn(words(`${ctr} events`));
      // ctr makes them, and a shim of the other machine opens them.
      const run = `${ctr} run --rm --fifo-dir ${here}/fifo docker.io/library/peer:1`;
      const task = client.spawn(words(`${run} two /peer cat`));
      task.say("through FIFOs\n");
      await task.prints("through FIFOs\n");
      task.closeStdin();
      expect(await task.output()).toBe("through FIFOs\n");
      expect(task.stderr).toContain("done\n");
      await events.prints("/tasks/exit");
    },
    MINUTES,
  );

  test(
    "docker -H unix://: images, events, containers, and the end of the daemon",
    async () => {
      const listening = client.spawn(words(`${docker} events --format {{.Action}}`));
      expect(await client.sh(`${docker} version`)).toContain("Server:");
      expect(await client.sh(`${docker} load -i ${image}`)).toContain("Loaded image: peer:1\n");
      expect(await client.sh(`${docker} images -q | wc -l`)).toBe("1\n");
      await listening.prints("load");

      // Its stdin ends before its stdout: a half-closed connection to dockerd.
      const options = "run -i --rm --name one --network none";
      const container = client.spawn(words(`${docker} ${options} peer:1`));
      container.say("through a container\n");
      await container.prints("through a container\n");
      expect(await client.sh(`${docker} ps --format '{{.Names}} {{.Image}}'`)).toBe("one peer:1\n");
      container.closeStdin();
      expect(await container.output()).toBe("through a container\n");
      expect(container.stderr).toContain("done\n");
      await listening.prints("destroy");
      for (const action of ["create", "attach", "start", "die"]) {
        expect(listening.stdout.split("\n")).toContain(action);
      }

      const sum = await client.sh(
        `head -c 20000000 /dev/zero | ${docker} ${options} peer:1 2>/dev/null | sha1sum`,
      );
      expect(sum).toBe(await sh("head -c 20000000 /dev/zero | sha1sum"));
      await client.sh(`${docker} save peer:1 | tar -t | grep -c layer.tar`);

      for (const daemon of daemons) await daemon.stop();
      expect(await listening.ended()).not.toBe(0);
      expect(await server.sh(`ls ${here}`)).not.toContain("docker.sock\n");
    },
    MINUTES,
  );
});

/**
 * A HOST and a DPU, each with its own state directories, network and control groups, and an image
 * made from busybox; `qtfs offload` brings the daemons up.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { Machine } from "../support/machine.ts";
import { HOST_ADDRESS, link } from "../support/machines.ts";
import { sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

export const IMAGE = "docker.io/library/box:1";
/** Of the chroot on the DPU. */
export const ROOT = "/srv/root";
/** Where daemons keep their state, the machine's own. */
const OWN = [
  "/var/lib/containerd",
  "/var/lib/docker",
  "/var/lib/cni",
  "/var/lib/kubelet",
  "/var/lib/qtfs",
];

export class Stage {
  readonly scratch: string;
  readonly host: Machine;
  readonly dpu: Machine;
  readonly config: string;

  private constructor(scratch: string, host: Machine, dpu: Machine) {
    this.scratch = scratch;
    this.host = host;
    this.dpu = dpu;
    this.config = `${scratch}/offload.toml`;
  }

  /** Two machines, and `lines` in their configuration; `command`: what the image runs by itself. */
  static async begin(
    lines: readonly string[],
    { command }: { command?: string[] } = {},
  ): Promise<Stage> {
    const scratch = mkdtempSync(`${process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir()}/o-`);
    const [host, dpu] = await Promise.all([machine("host", scratch), machine("dpu", scratch)]);
    const stage = new Stage(scratch, host, dpu);
    await link(host, dpu);
    await makeImage(scratch, command);
    const addresses = [
      `server = "tcp://${HOST_ADDRESS}:7000"`,
      `rexec = "tcp://${HOST_ADDRESS}:7001"`,
      "insecure = true",
      `rootfs = "${ROOT}"`,
      `binds = ["${scratch}"]`,
    ];
    writeFileSync(stage.config, [...addresses, ...lines].map((line) => `${line}\n`).join(""));
    return stage;
  }

  get image(): string {
    return `${this.scratch}/image.tar`;
  }

  /** Runs `qtfs offload` on both machines: the HOST's part first, or last to undo. */
  async offload(what: "up" | "down"): Promise<void> {
    const on = (one: Machine, side: string) =>
      one.sh(`${QTFS} offload ${what} --side ${side} --config ${this.config}`);
    if (what === "up") await on(this.host, "host");
    await on(this.dpu, "dpu");
    if (what === "down") await on(this.host, "host");
  }

  /** Runs a script in the chroot of the daemons. */
  async inside(script: string): Promise<string> {
    const quoted = script.replaceAll("'", "'\\''");
    return await this.dpu.sh(`chroot ${ROOT} bash -euo pipefail -c '${quoted}'`);
  }

  async end(): Promise<void> {
    await this.dpu.close();
    await this.host.close();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** A machine with state directories of its own, below `scratch`/NAME. */
export async function machine(name: string, scratch: string): Promise<Machine> {
  const own = OWN.flatMap((path) => {
    const mine = `${scratch}/${name}${path}`;
    mkdirSync(mine, { recursive: true });
    return [`mkdir -p ${path}`, `mount --bind ${mine} ${path}`];
  });
  const tmpfs = ["/srv", "/var/log"].map((path) => `mount -t tmpfs tmpfs ${path}`);
  return await Machine.start(name, { cgroups: true, script: [...own, ...tmpfs].join("\n") });
}

/** Makes `scratch`/image.tar: an image of busybox that runs `command`, in the form of `docker save`. */
export async function makeImage(scratch: string, command = ["/bin/sh"]): Promise<void> {
  const work = `${scratch}/image`;
  mkdirSync(`${work}/root/bin`, { recursive: true });
  mkdirSync(`${work}/tar`);
  for (const name of ["etc", "proc", "sys", "dev", "tmp", "root"])
    mkdirSync(`${work}/root/${name}`);
  await sh(`cp $(command -v busybox) ${work}/root/bin/busybox
    for name in $(busybox --list); do
      [ $name = busybox ] || ln -s busybox ${work}/root/bin/$name
    done
    tar -C ${work}/root --owner 0 --group 0 -cf ${work}/tar/layer.tar .`);
  writeFileSync(`${work}/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  const sum = (await sh(`sha256sum <${work}/tar/layer.tar`)).split(" ")[0];
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: command },
    rootfs: { type: "layers", diff_ids: [`sha256:${sum}`] },
  };
  const manifest = { Config: "config.json", RepoTags: [IMAGE], Layers: ["layer.tar"] };
  writeFileSync(`${work}/tar/config.json`, JSON.stringify(config));
  writeFileSync(`${work}/tar/manifest.json`, JSON.stringify([manifest]));
  await sh(`tar -C ${work}/tar -cf ${scratch}/image.tar .`);
}

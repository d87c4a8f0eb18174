/**
 * Two machines, a HOST with `qtfs server` and a DPU with `qtfs mount` of one of its
 * directories at the same path; and a third with neither, where all is native.
 *
 * A test gets two machines, one for each of the programs that meet at a socket or FIFO, and
 * a directory that both see. It must pass where both are the third machine: what then fails
 * on HOST and DPU is qtfs's. QTFS_E2E_WAYS=native runs it there alone, QTFS_E2E_WAYS=qtfs
 * everywhere else. QTFS_E2E_LOG is qtfs's --log-level.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Machine } from "./machine.ts";
import { type Program, until } from "./program.ts";
import { sh } from "./run.ts";
import { QTFS } from "./server.ts";

const START_MS = 20_000;
const UMOUNT_MS = 15_000;
export const HOST_ADDRESS = "10.77.0.1";
export const DPU_ADDRESS = "10.77.0.2";
const PORT = 7070;
const LOG = ["--log-level", process.env.QTFS_E2E_LOG ?? "info"];

/** Where the two programs of a test run. */
export interface Way {
  /** For the name of the test. */
  readonly name: string;
  /** Where somebody listens, or whatever a test says. */
  readonly server: Machine;
  readonly client: Machine;
  /** Makes a directory, empty and everybody's; its path is the same on both machines. */
  directory(): string;
}

type Wire = "unix" | "tcp";

export interface MachinesOptions {
  /** What the two talk over; `tcp` on a link of their own. */
  wire?: Wire;
  /** Without the third machine, where the same is tested natively elsewhere. */
  native?: boolean;
  /** With both programs on the DPU, too. */
  alone?: boolean;
  /** What the server allows beside using files. */
  allow?: readonly string[];
}

export class Machines {
  /** Natively; a server on the HOST and a client on the DPU; the reverse; both on the DPU. */
  readonly ways: Way[] = [];
  /** A directory that is the same everywhere, and that of no machine's share. */
  readonly scratch = mkdtempSync(`${process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir()}/m-`);
  /** What the HOST exports, and where the DPU has mounted it. */
  readonly share = `${this.scratch}/share`;
  readonly #plain = `${this.scratch}/plain`;
  readonly #machines: Machine[] = [];
  #startServer = () => {};
  #server: Program | undefined;
  #dpu: Machine | undefined;
  /** Of FUSE, below /sys/fs/fuse/connections. */
  #connection = 0;
  #serial = 0;

  /** Starts what QTFS_E2E_WAYS asks for. */
  static async start(options: MachinesOptions = {}): Promise<Machines> {
    const { wire = "unix", native = true, alone = false, allow = [] } = options;
    const machines = new Machines();
    const only = process.env.QTFS_E2E_WAYS;
    try {
      await chmod(machines.scratch, 0o755);
      for (const path of [machines.share, machines.#plain]) mkdirSync(path);
      if (native && only !== "qtfs") await machines.#startNative();
      if (only !== "native") await machines.#startPair(wire, alone, allow);
    } catch (error) {
      await machines.close();
      throw error;
    }
    return machines;
  }

  async #startNative(): Promise<void> {
    const machine = await this.#machine("native");
    this.#addWay("native", machine, machine, this.#plain);
  }

  async #startPair(wire: Wire, alone: boolean, allow: readonly string[]): Promise<void> {
    const [host, dpu] = await Promise.all([this.#machine("host"), this.#machine("dpu")]);
    if (wire === "tcp") await link(host, dpu);
    const [address, option] =
      wire === "tcp"
        ? [`tcp://${HOST_ADDRESS}:${PORT}`, "insecure"]
        : [`unix://${this.scratch}/server.sock`, "rw"];
    const insecure = wire === "tcp" ? ["--insecure"] : [];
    const serve = [
      "server",
      ...LOG,
      "--listen",
      address,
      ...insecure,
      "--export",
      `${this.share}:${["rw", ...allow].join(",")}`,
    ];
    this.#startServer = () => {
      this.#server = host.spawn([QTFS, ...serve]);
    };
    this.#startServer();
    const mount = [
      QTFS,
      "mount",
      ...LOG,
      "-o",
      `server=${address},${option}`,
      this.share,
      this.share,
    ];
    let said = "";
    const isMounted = async () => {
      const { code, stdout, stderr } = await dpu.run(mount);
      said = `${stdout}${stderr}`;
      return code === 0;
    };
    await until(isMounted, () => `the mount: ${said}${this.#server}`, START_MS);
    this.#dpu = dpu;
    const device = await dpu.sh(`mountpoint -d ${this.share}`);
    this.#connection = Number(device.trim().split(":")[1]);
    this.#addWay("HOST serves DPU", host, dpu, this.share);
    this.#addWay("DPU serves HOST", dpu, host, this.share);
    if (alone) this.#addWay("DPU serves itself", dpu, dpu, this.share);
  }

  async #machine(name: string): Promise<Machine> {
    const machine = await Machine.start(name);
    this.#machines.push(machine);
    return machine;
  }

  #addWay(name: string, server: Machine, client: Machine, within: string): void {
    const directory = () => {
      const path = `${within}/d${this.#serial++}`;
      mkdirSync(path);
      Bun.spawnSync(["chmod", "1777", path]);
      return path;
    };
    this.ways.push({ name, server, client, directory });
  }

  /** Kills the server, and starts another as a service manager would. */
  async restartServer(): Promise<void> {
    await this.#server?.stop("SIGKILL");
    this.#startServer();
  }

  /** Kills the process that serves the mount; its keeper goes on. */
  async killMount(): Promise<void> {
    await this.#dpu?.sh(
      `kill -KILL $(${QTFS} info ${this.share} --json | grep -m1 -Po '"pid": ?\\K\\d+')`,
    );
  }

  /** Cuts the cable between the two for `ms`. */
  async cutWire(ms: number): Promise<void> {
    await this.#dpu?.sh(`ip link set wire down; sleep ${ms / 1000}; ip link set wire up`);
  }

  /** What `qtfs info` says on the DPU, and the server's log: for who looks into a failure. */
  async logs(): Promise<string> {
    const info = await this.#dpu?.run([QTFS, "info"]);
    const log = await this.#dpu?.run([QTFS, "info", this.share, "--log"]);
    return `${info?.stdout}\nmount:\n${log?.stdout}\nserver: ${this.#server}`;
  }

  /** Unmounts, ends all machines and removes everything, also where a part of that fails. */
  async close(): Promise<void> {
    try {
      // What they have open below the mount is in its way.
      await this.#dpu?.killPrograms();
      if (this.#dpu !== undefined) await this.#unmount(this.#dpu);
    } finally {
      for (const machine of this.#machines) await machine.close();
      rmSync(this.scratch, { recursive: true, force: true });
    }
  }

  async #unmount(dpu: Machine): Promise<void> {
    const { code, stderr } = await dpu.run(["umount", this.share], { timeoutMs: UMOUNT_MS });
    if (code === 0) return;
    await dpu.run(["umount", "--lazy", this.share], { timeoutMs: UMOUNT_MS });
    // Sets everybody free who waits in the mount; it is ours as long as the DPU lives.
    const abort = `/sys/fs/fuse/connections/${this.#connection}/abort`;
    if (existsSync(abort)) writeFileSync(abort, "1");
    throw new Error(`umount on the DPU: ${stderr}`);
  }
}

/** Joins two machines' networks by a cable. */
export async function link(host: Machine, dpu: Machine): Promise<void> {
  // From outside, where both are known by their numbers.
  const names = ["name", "wire", "netns", `${host.init}`, "type", "veth", "peer", "name", "wire"];
  await sh(`ip link add ${names.join(" ")} netns ${dpu.init}`);
  const up = (address: string) => `ip address add ${address}/24 dev wire && ip link set wire up`;
  await host.sh(up(HOST_ADDRESS));
  await dpu.sh(up(DPU_ADDRESS));
}

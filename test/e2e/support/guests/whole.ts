/**
 * A guest that has this machine's files: its root directory is ours, read-only, below a layer in its
 * memory. So it has Debian's programs and a kernel of its own, and needs no image. Scripts are run
 * in it by its second serial port.
 */
import type { Socket } from "bun";
import { until } from "../program.ts";
import { Guest } from "./guest.ts";
import type { Kernel } from "./kernel.ts";
import { type Machine, X86_64 } from "./machine.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOOT_MS = 180_000;
const SCRIPT_MS = 120_000;

/** What its first system, which is in its memory, needs until ours is mounted. */
const BOOTING: Machine = {
  ...X86_64,
  files: async () => [
    ["/bin/busybox", "/bin/busybox"],
    [`${import.meta.dir}/agent`, "/agent"],
  ],
};
const ROOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
const ROOT_DEVICES = [
  ...["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
  ...["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"],
];

export interface WholeOptions {
  kernel: Kernel;
  /** Modules beside those for the root directory. */
  modules?: string[];
  /** Words for QEMU. */
  devices?: string[];
}

export class WholeGuest {
  readonly #guest: Guest;
  readonly #port: Socket;
  readonly #waiting = new Map<number, (answer: string[]) => void>();
  #serial = 0;
  #rest = "";

  private constructor(guest: Guest, port: Socket) {
    this.#guest = guest;
    this.#port = port;
  }

  /** Switches one on; resolves once it takes scripts. `directory`: for its files. */
  static async start(directory: string, name: string, options: WholeOptions): Promise<WholeGuest> {
    const { kernel, modules = [], devices = [] } = options;
    const path = `${directory}/${name}.port`;
    const port = `socket,id=port,path=${path},server=on,wait=off`;
    const guest = new Guest(directory, name, {
      machine: BOOTING,
      kernel,
      modules: [...ROOT_MODULES, ...modules],
      role: `${import.meta.dir}/whole`,
      devices: ["-chardev", port, "-serial", "chardev:port", ...ROOT_DEVICES, ...devices],
    });
    await guest.make();
    guest.start();
    try {
      await until(
        () => guest.told("ready").length > 0,
        () => guest.said,
        BOOT_MS,
      );
      return await WholeGuest.#connect(guest, path);
    } catch (error) {
      await guest.stop();
      throw error;
    }
  }

  static async #connect(guest: Guest, path: string): Promise<WholeGuest> {
    const decoder = new TextDecoder();
    const socket: Socket = await Bun.connect({
      unix: path,
      // Nothing comes before the first script.
      socket: { data: (_, bytes) => whole.#hear(decoder.decode(bytes)) },
    });
    const whole = new WholeGuest(guest, socket);
    return whole;
  }

  #hear(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const [id, ...answer] = line.trim().split(" ");
      this.#waiting.get(Number(id))?.(answer);
      this.#waiting.delete(Number(id));
    }
  }

  /** Its console. */
  get said(): string {
    return this.#guest.said;
  }

  /** Runs a bash script in it that must succeed, every line of it; returns what it printed. */
  async sh(script: string, timeoutMs = SCRIPT_MS): Promise<string> {
    const id = this.#serial++;
    const answer = new Promise<string[]>((resolve) => this.#waiting.set(id, resolve));
    this.#port.write(`${id} ${timeoutMs / 1000} ${btoa(script)}\n`);
    const [code = "", text = ""] = await answer;
    const printed = Buffer.from(text, "base64").toString();
    if (code !== "0") throw new Error(`exit code ${code} of\n${script}\n${printed.slice(-5000)}`);
    return printed;
  }

  async stop(): Promise<void> {
    this.#port.end();
    await this.#guest.stop();
  }
}

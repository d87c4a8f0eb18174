/**
 * Machines of QEMU with Debian's kernel and a system in their memory: busybox, qtfs, and a
 * script that says what to do. Processors are emulated: no nested virtualization is needed.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { sh } from "../run.ts";
import type { Kernel } from "./kernel.ts";
import { type Machine, X86_64 } from "./machine.ts";

const LINK_BYTES = 64 << 20;
const MEMORY_MIB = 1536;

export interface GuestOptions {
  /** Default: X86_64. */
  machine?: Machine;
  kernel: Kernel;
  /** Modules to load before anything else, by name. */
  modules: string[];
  /** The script: a file. `say WORDS` in it is what `told` finds; see `init`. */
  role: string;
  /** Devices, and what is behind them: words for QEMU. */
  devices: string[];
  /** Further files for it: from here, and to there. */
  files?: [from: string, to: string][];
  /** More words for the kernel's command line. */
  kernelWords?: string;
}

export class Guest {
  readonly #base: string;
  readonly #options: GuestOptions;
  #machine: Bun.Subprocess | undefined;

  readonly name: string;

  /** `name`: what its files in `directory` begin with. */
  constructor(directory: string, name: string, options: GuestOptions) {
    this.name = name;
    this.#base = `${directory}/${name}`;
    this.#options = options;
    writeFileSync(this.#file("console"), "");
  }

  #file(kind: string): string {
    return `${this.#base}.${kind}`;
  }

  /** What it has said. */
  get said(): string {
    return readFileSync(this.#file("console"), "latin1");
  }

  /** What it has said after `word`, each time. */
  told(word: string): string[] {
    return [...this.said.matchAll(new RegExp(`GUEST: ${word}(?: (.*?))?\\r?\\n`, "g"))].map(
      ([, rest]) => rest ?? "",
    );
  }

  /** Makes its system. */
  async make(): Promise<void> {
    const { machine = X86_64, kernel, modules, role, files: more = [] } = this.#options;
    const root = this.#file("root");
    const put = (from: string, to: string) => {
      mkdirSync(dirname(`${root}${to}`), { recursive: true });
      cpSync(from, `${root}${to}`, { dereference: true });
    };
    for (const [from, to] of [...(await machine.files()), ...more]) put(from, to);
    put(role, "/role");
    put(`${import.meta.dir}/init`, "/init");
    const files = kernel.modules(...modules);
    for (const file of files) put(file, `/modules/${basename(file)}`);
    writeFileSync(`${root}/modules/order`, files.map((file) => `${basename(file)}\n`).join(""));
    await sh(`chmod +x ${root}/init
      cd ${root} && find . | cpio -o -H newc --quiet | gzip -1 >${this.#file("cpio")}`);
    rmSync(root, { recursive: true });
  }

  /** Switches it on. */
  start(): void {
    const { machine = X86_64, kernel, devices, kernelWords = "" } = this.#options;
    const words = `console=${machine.console} quiet panic=-1 mitigations=off ${kernelWords}`;
    this.#machine = Bun.spawn(
      [
        ...machine.emulator,
        ...["-m", `${MEMORY_MIB}`, "-smp", "1"],
        ...["-display", "none", "-no-user-config", "-nodefaults", "-net", "none"],
        ...["-kernel", kernel.image, "-initrd", this.#file("cpio"), "-append", words],
        ...["-chardev", `file,id=console,append=on,path=${this.#file("console")}`],
        ...["-serial", "chardev:console", ...devices],
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
  }

  async stop(): Promise<void> {
    this.#machine?.kill("SIGKILL");
    await this.#machine?.exited;
  }
}

/** Makes memory for a device that machines share. */
export function makeMemory(path: string): void {
  writeFileSync(path, "");
  truncateSync(path, LINK_BYTES);
}

/** A PCI device without interrupts whose memory is the file `path`. */
export function plainLink(path: string): string[] {
  const memory = `memory-backend-file,id=plain,share=on,mem-path=${path},size=${LINK_BYTES}`;
  return ["-object", memory, "-device", "ivshmem-plain,memdev=plain"];
}

/** One with interrupts, by the server (ivshmemserver.ts) at `socket`. */
export function doorbellLink(socket: string): string[] {
  return [
    ...["-chardev", `socket,id=doorbell,path=${socket}`],
    ...["-device", "ivshmem-doorbell,chardev=doorbell,vectors=1"],
  ];
}

/** Starts what joins machines by such a device; resolves when it listens. */
export async function startIvshmemServer(socket: string, memory: string): Promise<Bun.Subprocess> {
  const program = new URL("./ivshmemserver.ts", import.meta.url).pathname;
  const server = Bun.spawn([process.execPath, program, socket, memory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const _ of server.stdout) break;
  return server;
}

/** An IOMMU for the devices, so that programs may have them (VFIO); before them. */
export const IOMMU = ["-device", "intel-iommu,intremap=on"];

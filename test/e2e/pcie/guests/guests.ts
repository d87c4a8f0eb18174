/**
 * Two machines of QEMU with Debian's kernel and nothing between them but a PCI device with
 * shared memory (ivshmem). Processors are emulated: no nested virtualization is needed.
 */
import {
  cpSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { run, sh } from "../../support/run.ts";
import { QTFS } from "../../support/server.ts";

const LINK_BYTES = 64 << 20;
const MEMORY_MIB = 1536;
const LIBFUSE = "/lib/x86_64-linux-gnu/libfuse3.so.3";

/** Debian's kernel, unpacked in `directory`: its image and fuse.ko. It is not installed. */
export async function fetchKernel(directory: string): Promise<{ image: string; fuse: string }> {
  await sh(`cd ${directory}
    name=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \\(linux-image-[^ ]*\\)$/\\1/p' | head -1)
    apt-get download -q $name
    dpkg-deb -x linux-image-*.deb kernel
    rm linux-image-*.deb`);
  const [image = ""] = globSync(`${directory}/kernel/boot/vmlinuz-*`);
  const [fuse = ""] = globSync(`${directory}/kernel/lib/modules/*/kernel/fs/fuse/fuse.ko`);
  return { image, fuse };
}

export class Guest {
  readonly #directory: string;
  readonly #role: string;
  #machine: Bun.Subprocess | undefined;

  constructor(directory: string, role: "host" | "dpu") {
    this.#directory = directory;
    this.#role = role;
    writeFileSync(this.#file("console"), "");
  }

  #file(kind: string): string {
    return `${this.#directory}/${this.#role}.${kind}`;
  }

  /** What it has said. */
  get said(): string {
    return readFileSync(this.#file("console"), "latin1");
  }

  /** What it has said after `word`, each time. */
  told(word: string): string[] {
    return [...this.said.matchAll(new RegExp(`GUEST: ${word} ?(.*?)\\r?\\n`, "g"))].map(
      ([, rest]) => rest ?? "",
    );
  }

  /** Makes its system: busybox, qtfs with its libraries, and what it is to do. */
  async make(fuse: string): Promise<void> {
    const root = this.#file("root");
    const put = (from: string, to: string) => {
      mkdirSync(dirname(`${root}${to}`), { recursive: true });
      cpSync(from, `${root}${to}`, { dereference: true });
    };
    put("/bin/busybox", "/bin/busybox");
    put(QTFS, "/bin/qtfs");
    put(fuse, "/fuse.ko");
    put(`${import.meta.dir}/${this.#role}`, "/role");
    put(`${import.meta.dir}/init`, "/init");
    put(LIBFUSE, LIBFUSE);
    const { stdout } = await run(["ldd", QTFS, LIBFUSE]);
    for (const [library] of stdout.matchAll(/\/lib\S*\.so\S*(?= \()/g)) put(library, library);
    await sh(`chmod +x ${root}/init
      cd ${root} && find . | cpio -o -H newc --quiet | gzip -1 >${this.#file("cpio")}`);
    rmSync(root, { recursive: true });
  }

  /** Switches it on; `link` is the file that is its device's memory. */
  start(image: string, link: string): void {
    const memory = `memory-backend-file,id=link,share=on,mem-path=${link},size=${LINK_BYTES}`;
    this.#machine = Bun.spawn(
      [
        "qemu-system-x86_64",
        ...["-machine", "q35,accel=tcg", "-cpu", "max", "-m", `${MEMORY_MIB}`, "-smp", "1"],
        ...["-display", "none", "-no-user-config", "-nodefaults", "-net", "none"],
        ...["-kernel", image, "-initrd", this.#file("cpio")],
        ...["-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
        ...["-chardev", `file,id=console,append=on,path=${this.#file("console")}`],
        ...["-serial", "chardev:console"],
        ...["-object", memory, "-device", "ivshmem-plain,memdev=link"],
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
  }

  async stop(): Promise<void> {
    this.#machine?.kill("SIGKILL");
    await this.#machine?.exited;
  }
}

/** Makes the device's memory. */
export function makeLink(path: string): void {
  writeFileSync(path, "");
  truncateSync(path, LINK_BYTES);
}

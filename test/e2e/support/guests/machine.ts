/** What of a guest depends on its processor. */
import { globSync } from "node:fs";
import { buildForArm64 } from "../arm64.ts";
import { run } from "../run.ts";
import { QTFS } from "../server.ts";
import { unpacked } from "./debian.ts";

export interface Machine {
  /** QEMU's program and the words that make the machine. */
  readonly emulator: readonly string[];
  /** What the kernel calls the first serial port. */
  readonly console: string;
  /** Programs and libraries that its system needs: from here, and to there. */
  files(): Promise<[from: string, to: string][]>;
}

const LIBFUSE = "/lib/x86_64-linux-gnu/libfuse3.so.3";

export const X86_64: Machine = {
  emulator: [
    "qemu-system-x86_64",
    ...["-machine", "q35,accel=tcg,kernel-irqchip=split", "-cpu", "max"],
  ],
  console: "ttyS0",
  async files() {
    const { stdout } = await run(["ldd", QTFS, LIBFUSE]);
    const libraries = [...stdout.matchAll(/\/lib\S*\.so\S*(?= \()/g)].map(([path]) => path);
    const paths = [LIBFUSE, ...new Set(libraries)];
    return [
      ["/bin/busybox", "/bin/busybox"],
      [QTFS, "/bin/qtfs"],
      ...paths.map((path): [string, string] => [path, path]),
    ];
  },
};

/** Debian's packages, and what is wanted of each. */
const ARM64_PACKAGES = {
  "busybox-static": "bin/busybox",
  libc6: "lib/*",
  "libfuse3-3": "lib/aarch64-linux-gnu/libfuse3.so.3*",
};
/** What the executable and libfuse need of them. */
const ARM64_LIBRARIES = [
  "ld-linux-aarch64.so.1",
  ...["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libfuse3.so.3"].map(
    (name) => `aarch64-linux-gnu/${name}`,
  ),
];

/** A machine with the processors that a DPU has (BlueField-2: Cortex-A72). */
export const ARM64: Machine = {
  emulator: [
    "qemu-system-aarch64",
    ...["-machine", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg"],
  ],
  console: "ttyAMA0",
  async files() {
    const files: [string, string][] = [[await buildForArm64(), "/bin/qtfs"]];
    for (const [name, pattern] of Object.entries(ARM64_PACKAGES)) {
      const directory = await unpacked("arm64", name, [pattern]);
      for (const path of globSync(`${directory}/{bin/busybox,lib/{${ARM64_LIBRARIES}}}`)) {
        files.push([path, path.slice(directory.length)]);
      }
    }
    return files;
  },
};

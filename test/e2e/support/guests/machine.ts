/** What of a guest depends on its processor. */
import { run } from "../run.ts";
import { QTFS } from "../server.ts";

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

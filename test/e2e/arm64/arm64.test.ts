/**
 * The executable for arm64, each program of it run by QEMU's emulator of arm64's instructions on
 * this machine's kernel: it starts, and its calls of a server have their answers.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import packageJson from "../../../package.json";
import { buildForArm64 } from "../support/arm64.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

/** Debian: qemu-user-static; and libc6-arm64-cross, where arm64's C library is. */
const EMULATOR = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"];
/** elf.h: e_machine */
const EM_AARCH64 = 183;
const directory = mkdtempSync(`${tmpdir()}/arm64-`);
const address = `unix://${directory}/rexec.sock`;
let executable: string;
let server: Bun.Subprocess;

beforeAll(async () => {
  executable = await buildForArm64();
  const words = ["rexec-server", "--listen", address, "--allow", "/**"];
  server = Bun.spawn([QTFS, ...words], { stdio: ["ignore", "ignore", "ignore"] });
}, 120_000);

afterAll(async () => {
  server.kill("SIGINT");
  await server.exited;
  rmSync(directory, { recursive: true });
});

const qtfs = (...words: string[]) => run([...EMULATOR, executable, ...words]);

test("it is of arm64, and says who it is", async () => {
  const header = Buffer.from(await Bun.file(executable).slice(0, 20).arrayBuffer());
  expect(header.readUInt16LE(18)).toBe(EM_AARCH64);
  const version = await qtfs("--version");
  expect(version).toEqual({ ...version, code: 0, stderr: "" });
  expect(version.stdout).toContain(packageJson.version);
});

test("it explains itself as the one for this machine does", async () => {
  for (const words of [["--help"], ["mount", "--help"]]) {
    const native = await run([QTFS, ...words]);
    expect(await qtfs(...words)).toEqual(native);
  }
});

test("a program of this machine runs for it", async () => {
  const script = 'read line; echo "$line by $(uname -m)"; echo error >&2; exit 7';
  const words = ["rexec", "--server", address, "--cwd", "/", "sh", "-c", script];
  const shell = `until [ -S ${directory}/rexec.sock ]; do sleep 0.1; done; echo said | "$@"`;
  const result = await run(["sh", "-c", shell, "sh", ...EMULATOR, executable, ...words]);
  const machine = (await run(["uname", "-m"])).stdout.trim();
  expect(result).toEqual({ code: 7, stdout: `said by ${machine}\n`, stderr: "error\n" });
});

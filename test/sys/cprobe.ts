/**
 * Asks the C compilers for the values of constant expressions: the running machine's, and the
 * cross compiler of arm64. Nothing of it is run: the values are read from the objects.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCH, type Arch } from "../../src/sys/arch.ts";

/** One translation unit: constant expressions and what they need. */
export interface Unit {
  readonly includes: readonly string[];
  readonly expressions: readonly string[];
  /** Lines between the includes and the table. */
  readonly preamble?: string;
}

/** The machines that are asked about: the running one, and arm64 (gcc-aarch64-linux-gnu). */
export const machines: readonly Arch[] = ARCH === "arm64" ? ["arm64"] : [ARCH, "arm64"];

/** The command of `tool` (gcc, as, objcopy) for `machine`. */
export function toolOf(machine: Arch, tool: string): string {
  return machine === ARCH ? tool : `aarch64-linux-gnu-${tool}`;
}

function run(command: string[], cwd: string): void {
  const done = Bun.spawnSync(command, { cwd, stdout: "pipe", stderr: "pipe" });
  if (!done.success) throw new Error(`${command.join(" ")}\n${done.stderr}`);
}

function unitText(unit: Unit, index: number): string {
  return [
    "#define _GNU_SOURCE",
    "#include <stddef.h>",
    ...unit.includes.map((name) => `#include <${name}>`),
    unit.preamble ?? "",
    `__attribute__((section("table${index}"))) const long long values${index}[] = {`,
    ...unit.expressions.map((expression) => `  (long long)(${expression}),`),
    "};",
  ].join("\n");
}

/** The values of every unit's expressions, in order. */
export function evaluate(units: readonly Unit[], machine: Arch = ARCH): number[][] {
  const directory = mkdtempSync(join(tmpdir(), "qtfs-cprobe-"));
  const names = units.map((_, i) => `table${i}`);
  try {
    for (const [i, unit] of units.entries()) {
      writeFileSync(join(directory, `table${i}.c`), unitText(unit, i));
    }
    run([toolOf(machine, "gcc"), "-c", ...names.map((name) => `${name}.c`)], directory);
    for (const name of names) {
      const dump = ["--dump-section", `${name}=${name}`, `${name}.o`, "/dev/null"];
      run([toolOf(machine, "objcopy"), ...dump], directory);
    }
    return names.map((name) => numbersOf(readFileSync(join(directory, name))));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Both machines are little-endian. */
function numbersOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigInt64LE(i * 8)));
}

/**
 * Asks the C compiler for the values of expressions, under the headers of
 * either machine.
 *
 * x86-64 and arm64 lay structs out alike (LP64, natural alignment), so a table
 * of offsets compiled by the native compiler against arm64's headers holds
 * what arm64's own compiler would say.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

const ARM64_HEADERS = "/usr/aarch64-linux-gnu/include";

/** Debian: linux-libc-dev-arm64-cross and libc6-dev-arm64-cross. */
export const hasArm64Headers = ARCH === "x64" && existsSync(`${ARM64_HEADERS}/asm/unistd.h`);
const hasArm64Libc = hasArm64Headers && existsSync(`${ARM64_HEADERS}/sys/socket.h`);

/** The machines whose whole set of headers is here: the running one, and arm64 if installed. */
export const machines: readonly Arch[] = hasArm64Libc ? [ARCH, "arm64"] : [ARCH];

function run(command: string[]): string {
  const done = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" });
  if (!done.success) throw new Error(`${command.join(" ")}\n${done.stderr}`);
  return done.stdout.toString();
}

function headerFlags(machine: Arch): string[] {
  if (machine === ARCH) return [];
  const own = run(["cc", "-print-file-name=include"]).trim();
  const places = ["-nostdinc", "-isystem", own, "-isystem", ARM64_HEADERS];
  return [...places, "-U__x86_64__", "-D__aarch64__"];
}

function unitText(unit: Unit, index: number): string {
  return [
    "#define _GNU_SOURCE",
    "#include <stddef.h>",
    ...unit.includes.map((name) => `#include <${name}>`),
    unit.preamble ?? "",
    `const long long table${index}[] = {`,
    ...unit.expressions.map((expression) => `  (long long)(${expression}),`),
    "};",
  ].join("\n");
}

function mainText(units: readonly Unit[]): string {
  const loops = units.map(
    (unit, i) => `  for (int i = 0; i < ${unit.expressions.length}; i++)
    printf("%lld\\n", table${i}[i]);`,
  );
  const externs = units.map((_, i) => `extern const long long table${i}[];`);
  return ["#include <stdio.h>", ...externs, "int main(void) {", ...loops, "}"].join("\n");
}

/** The values of every unit's expressions, in order. */
export function evaluate(units: readonly Unit[], machine: Arch = ARCH): number[][] {
  const directory = mkdtempSync(join(tmpdir(), "qtfs-cprobe-"));
  try {
    const sources = units.map((unit, i) => {
      const file = join(directory, `unit${i}.c`);
      writeFileSync(file, unitText(unit, i));
      return file;
    });
    const objects = sources.map((file) => file.replace(/c$/, "o"));
    const flags = headerFlags(machine);
    for (const [i, source] of sources.entries()) {
      run(["cc", ...flags, "-c", source, "-o", objects[i] ?? ""]);
    }
    const main = join(directory, "main.c");
    writeFileSync(main, mainText(units));
    run(["cc", main, ...objects, "-o", join(directory, "main")]);
    const values = run([join(directory, "main")])
      .trim()
      .split("\n")
      .map(Number);
    return units.map((unit) => values.splice(0, unit.expressions.length));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

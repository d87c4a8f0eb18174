/** ffi/qtdma and its tests as one program, with sanitizers, made by the system's C compiler. */
import { globSync } from "node:fs";

const FLAGS = [
  ..."-std=c11 -O1 -g -Wall -Wextra -Werror -pthread".split(" "),
  ..."-fsanitize=address,undefined -fno-sanitize-recover=all".split(" "),
];

/** Compiles it to `program`; throws what the compiler says. */
export function buildQtdmaTest(program: string): void {
  const root = `${import.meta.dir}/../..`;
  const sources = [...globSync(`${root}/ffi/*.c`), `${root}/test/ffi/qtdma.c`];
  const { exitCode, stderr } = Bun.spawnSync(["cc", ...FLAGS, "-o", program, ...sources]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

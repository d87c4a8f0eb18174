/**
 * A process of the HOST's that never leaves a tree alone: directories and
 * symbolic links change places, directories move up and down and out of the
 * export and back. `bun paths-swapper.ts SHARE OUTSIDE` until its input ends.
 */
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import { AT_FDCWD } from "../../src/sys/open.ts";
import { RENAME_EXCHANGE, renameat2 } from "../../src/sys/tree.ts";

const [share = "", outside = ""] = process.argv.slice(2);
const inShare = (name: string) => `${share}/${name}`;

function exchange(a: string, b: string): void {
  const result = renameat2(
    ...([AT_FDCWD, cstring(inShare(a)), AT_FDCWD, cstring(inShare(b)), RENAME_EXCHANGE] as const),
  );
  if (result < 0) throw new Error(`Cannot exchange ${a} and ${b}: errno ${-result}`);
}

/** Removes a directory that clients make entries in meanwhile. */
function remove(path: string): void {
  while (existsSync(path)) rmSync(path, { recursive: true, force: true });
}

function furnish(): void {
  for (const name of ["swap", "deep/er/est", "file-d"]) {
    mkdirSync(inShare(name), { recursive: true });
    writeFileSync(inShare(`${name}/secret`), "harmless");
  }
  symlinkSync("../outside", inShare("swap-link"));
  symlinkSync(`${outside}/secret`, inShare("file-link"));
  writeFileSync(inShare("file"), "harmless");
  mkdirSync(inShare("elsewhere"));
}

/** One round: every name is once what it is not. */
function round(): void {
  exchange("swap", "swap-link");
  exchange("file", "file-link");
  renameSync(inShare("deep/er"), inShare("elsewhere/er"));
  exchange("file", "file-d");
  renameSync(inShare("elsewhere/er"), `${outside}/er`);
  exchange("swap", "swap-link");
  exchange("file", "file-d");
  renameSync(`${outside}/er`, inShare("deep/er"));
  exchange("file", "file-link");
  remove(inShare("replaced"));
  symlinkSync("../outside", inShare("replaced"));
  rmSync(inShare("replaced"));
  mkdirSync(inShare("replaced"));
}

furnish();
let running = true;
let rounds = 0;
process.stdin.on("end", () => {
  running = false;
});
process.stdin.resume();
process.stdout.write("ready\n");
while (running) {
  for (let i = 0; i < 50; i++) round();
  rounds += 50;
  await Bun.sleep(0);
}
process.stdout.write(`${rounds}\n`);

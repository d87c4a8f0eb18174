/** ffi/qtdma with AddressSanitizer and UndefinedBehaviorSanitizer: units, and a small fuzz run. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { buildQtdmaTest } from "./build.ts";

const directory = mkdtempSync(`${tmpdir()}/qtdma-`);
const program = `${directory}/qtdma`;
const ROUNDS = 20_000;

beforeAll(() => buildQtdmaTest(program));
afterAll(() => rmSync(directory, { recursive: true }));

async function run(...words: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([program, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 50_000,
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: out + err };
}

test("bytes arrive, sleepers are woken, memory may vanish", async () => {
  expect(await run("unit")).toEqual({ code: 0, output: "ok\n" });
});

test("a peer that writes what it likes", async () => {
  const { code, output } = await run("fuzz", String(ROUNDS), "7");
  expect(output).toContain(`${ROUNDS} rounds`);
  expect(code).toBe(0);
});

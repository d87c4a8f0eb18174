/**
 * A large file is written and read through three kills of the server each.
 * QTFS_LARGE_MIB=1024 makes it 1 GiB.
 */
import { expect, test } from "bun:test";
import { withStage } from "./scenarios/with-stage.ts";
import type { Stage } from "./stage.ts";

const MIB = Number(process.env.QTFS_LARGE_MIB ?? 128);
const TRANSFER = new URL("./scenarios/transfer.ts", import.meta.url).pathname;
/** Where the server is killed, in parts of the file. */
const KILLS = [0.2, 0.5, 0.8];
const DOWN_MS = 300;

/** Runs a transfer; the server is killed when so much has passed. The digest, and how far each kill was. */
async function transfer(stage: Stage, mode: "write" | "read") {
  const words = [TRANSFER, mode, `${stage.mountpoint}/large`, `${MIB}`, "7"];
  const child = Bun.spawn([process.execPath, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const marks = KILLS.map((part) => Math.floor(part * MIB));
  const kills: Promise<void>[] = [];
  const reached: number[] = [];
  let said = "";
  let done = 0;
  for await (const chunk of child.stdout) {
    said += Buffer.from(chunk).toString();
    done = Number(/(\d+)\n[^\n]*$/.exec(said)?.[1] ?? done);
    const mark = marks[0] ?? Infinity;
    if (done < mark || done >= MIB) continue;
    marks.shift();
    reached.push(done);
    kills.push(stage.restartServer(DOWN_MS));
  }
  await Promise.all(kills);
  const failure = await child.stderr.text();
  expect([await child.exited, failure]).toEqual([0, ""]);
  return { digest: /sha256 (\w+)/.exec(said)?.[1], reached };
}

test(`${MIB} MiB through three kills of the server each way`, async () => {
  await withStage({ kind: "unix" }, async (stage) => {
    const startMs = performance.now();
    const written = await transfer(stage, "write");
    const onHost = new Bun.CryptoHasher("sha256");
    onHost.update(await Bun.file(`${stage.tree}/large`).arrayBuffer());
    expect(onHost.digest("hex")).toBe(written.digest as string);
    await stage.umount();
    await stage.mount();
    const read = await transfer(stage, "read");
    expect(read.digest).toBe(written.digest as string);
    expect([written.reached.length, read.reached.length]).toEqual([KILLS.length, KILLS.length]);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    console.log(`killed at ${written.reached} MiB and at ${read.reached} MiB; ${seconds} s`);
  });
}, 300_000);

/**
 * What rexec stands, of any size: bytes both ways at once, a reader that stops, many programs at
 * once and many in a row. Each throws what was not so, and returns what it has seen.
 */
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { run, type Stage } from "./stage.ts";

/** Resident memory of a process that serves or uses rexec, whatever goes through. */
const MEMORY_MAX_KIB = 400 * 1024;
/** What a writer whose reader stands still may have written: pipes, streams and sockets on the way. */
const UNDERWAY_MAX_BYTES = 8 << 20;
/** What may come with more runs: the runtime gathers its garbage when it likes. */
const GROWTH_MAX_KIB = 48 * 1024;

function field(pid: number | string, file: string, name: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, "latin1");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** The most that the server and its keeper had resident. */
function checkMemory(stage: Stage): string {
  const kib = [stage.pid, stage.keeper].map((pid) => field(pid, "status", "VmHWM"));
  if (Math.max(...kib) > MEMORY_MAX_KIB) throw new Error(`${kib.join(" and ")} KiB resident`);
  return `${kib.map((one) => one >> 10).join(" and ")} MiB resident at most`;
}

async function shell(script: string, boundMs: number): Promise<void> {
  const result = await run(["bash", "-c", `set -o pipefail; ${script}`], { boundMs });
  if (result.code !== 0 || result.stdout !== "right\n") {
    throw new Error(`${script}: ${JSON.stringify(result)}`);
  }
}

/** `bytes` (a multiple of 128 KiB) through `rexec cat`, that is as many back at the same time. */
export async function bothWays(stage: Stage, bytes: number): Promise<string> {
  const { probe } = stage;
  const began = performance.now();
  const through = `${probe} generate 7 ${bytes} | ${stage.rexec.join(" ")} cat | ${probe} check 7 ${bytes}`;
  await shell(through, 60_000 + Math.ceil(bytes / 10_000));
  const seconds = (performance.now() - began) / 1000;
  const rate = bytes / (1 << 20) / seconds;
  return `${(bytes / 2 ** 20).toFixed(0)} MiB each way at ${rate.toFixed(0)} MiB/s, ${checkMemory(stage)}`;
}

/** A program that writes as fast as it can, while its reader stands still for `seconds`. */
export async function stoppedReader(stage: Stage, seconds: number): Promise<string> {
  const bytes = 64 << 20;
  const { probe } = stage;
  const before = new Set(stage.children);
  const done = shell(
    `${stage.rexec.join(" ")} ${probe} generate 9 ${bytes} | ${probe} check 9 ${bytes} ${seconds}`,
    60_000 + Math.ceil(seconds * 1000),
  );
  const writer = () => stage.children.find((pid) => !before.has(pid)) ?? "0";
  const written = () => field(writer(), "io", "wchar");
  await until(
    () => writer() !== "0" && written() > 0,
    () => "a writer",
  );
  // It fills what there is, and stands for the rest of the time.
  await Bun.sleep((seconds * 1000) / 2);
  const half = written();
  await Bun.sleep((seconds * 1000) / 4);
  const later = written();
  await done;
  if (later !== half || half > UNDERWAY_MAX_BYTES) {
    throw new Error(`A writer whose reader stands still wrote ${half}, then ${later} bytes`);
  }
  return `${half >> 10} KiB underway while the reader stood still`;
}

/** What a server and its keeper have. */
interface Belongings {
  descriptors: number;
  children: number;
  kib: number;
}

function belongings(stage: Stage): Belongings {
  const both = [stage.pid, stage.keeper];
  return {
    descriptors: both.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0),
    children: stage.children.length,
    kib: both.reduce((sum, pid) => sum + field(pid, "status", "VmRSS"), 0),
  };
}

async function isAsBefore(stage: Stage, before: Belongings): Promise<string> {
  let now = before;
  const isSo = () => {
    now = belongings(stage);
    return now.descriptors <= before.descriptors && now.children === 0;
  };
  await until(isSo, () => `${before.descriptors} descriptors and no child: ${JSON.stringify(now)}`);
  if (now.kib > before.kib + GROWTH_MAX_KIB) {
    throw new Error(`${now.kib} KiB resident after ${before.kib}`);
  }
  return `${now.descriptors} descriptors, no child, ${now.kib >> 10} MiB after ${before.kib >> 10}`;
}

/**
 * So many programs that all run at the same time, and then end with what each was told. Twice:
 * what the first time has made the processes grow by is used again.
 */
export async function atOnce(stage: Stage, count: number): Promise<string> {
  await together(stage, count);
  await until(
    () => stage.children.length === 0,
    () => "no child",
  );
  const before = belongings(stage);
  const most = await together(stage, count);
  const after = await isAsBefore(stage, before);
  return `${count} at once with ${most} descriptors; then ${after}`;
}

/** Once; the most descriptors that were open. */
async function together(stage: Stage, count: number): Promise<number> {
  const clients = Array.from({ length: count }, () =>
    Bun.spawn([...stage.rexec, "sh", "-c", "read code rest; echo $code $rest; exit $code"], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
  try {
    const isAll = () => stage.children.length === count;
    await until(isAll, () => `${count} programs, not ${stage.children.length}`, 180_000);
    const most = belongings(stage).descriptors;
    await Promise.all(
      clients.map(async (client, i) => {
        client.stdin.write(`${i % 256} of ${i}\n`);
        await client.stdin.end();
        const text = await new Response(client.stdout).text();
        const code = await client.exited;
        if (text !== `${i % 256} of ${i}\n` || code !== i % 256) {
          throw new Error(`The ${i}th wrote ${JSON.stringify(text)} and ended with ${code}`);
        }
      }),
    );
    return most;
  } finally {
    for (const client of clients) client.kill("SIGKILL");
  }
}

async function runOne(stage: Stage, i: number): Promise<void> {
  const script = `echo out ${i}; echo err ${i} >&2; exit ${i % 256}`;
  const { stdout, stderr, code } = await run([...stage.rexec, "sh", "-c", script]);
  if (stdout !== `out ${i}\n` || stderr !== `err ${i}\n` || code !== i % 256) {
    throw new Error(`The ${i}th: ${JSON.stringify({ stdout, stderr, code })}`);
  }
}

/** So many runs, `width` at a time; the first tenth is not counted as growth. */
export async function inARow(stage: Stage, count: number, width = 2): Promise<string> {
  const first = Math.ceil(count / 10);
  const some = async (from: number, to: number) => {
    let next = from;
    const worker = async () => {
      while (next < to) await runOne(stage, next++);
    };
    await Promise.all(Array.from({ length: width }, worker));
  };
  await some(0, first);
  await until(
    () => stage.children.length === 0,
    () => "no child",
  );
  const before = belongings(stage);
  const began = performance.now();
  await some(first, count);
  const ms = (performance.now() - began) / (count - first);
  return `${count} in a row, ${ms.toFixed(1)} ms each, ${width} at a time; then ${await isAsBefore(stage, before)}`;
}

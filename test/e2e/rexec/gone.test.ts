/** Clients that are killed, that only stand still, and that are cut off: the server knows which. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { Link } from "./link.ts";
import { QTFS, run, Stage } from "./stage.ts";

const PORT = 47_119;
const BOUND_MS = 60_000;
/** Longer than a client that was not killed may take to come again (rexec/server/session.ts). */
const AWAY_MS = 6500;
/** Longer than it takes to notice that a peer is silent, twice, and the lease. */
const STOPPED_MS = 13_000;

let stage: Stage;
/** The same with a short lease, at a unix socket. */
let hasty: Stage;

beforeAll(async () => {
  stage = await Stage.begin(["--insecure", "--allow", "*"], `tcp://127.0.0.1:${PORT}`);
  writeFileSync(`${stage.directory}/hasty.toml`, "lease_s = 1\n");
  hasty = await Stage.begin(["--config", `${stage.directory}/hasty.toml`]);
});
afterAll(async () => {
  await hasty.end();
  await stage.end();
});

/** A client of the server at `address`, and the number of its program, a shell's script. */
async function start(address: string, script: string) {
  const child = Bun.spawn([QTFS, "rexec", "--server", address, "sh", "-c", `echo $$; ${script}`], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: BOUND_MS,
    killSignal: "SIGKILL",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const pid = Number.parseInt(Buffer.from(value ?? []).toString(), 10);
  return { child, reader, pid };
}

function runs(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

for (const [what, script] of [
  ["that waits", "exec sleep 1000"],
  ["that has not read all", "while :; do echo more; done"],
] as const) {
  test.concurrent(`killed over TCP, a client ${what} takes its program with it, long before the lease`, async () => {
    const { child, pid } = await start(stage.address, script);
    expect(runs(pid)).toBe(true);
    // So that its kernel has data for it that it has not read.
    child.kill("SIGSTOP");
    await Bun.sleep(300);
    child.kill("SIGKILL");
    // The lease is a minute.
    const endMs = performance.now() + 30_000;
    while (runs(pid) && performance.now() < endMs) await Bun.sleep(100);
    expect(runs(pid)).toBe(false);
  }, 60_000);
}

test.concurrent("who closes a connection between both ends no program", async () => {
  const link = new Link(stage.directory, "proxy", undefined, PORT);
  await link.begin();
  const go = `${stage.directory}/go`;
  const script = `until [ -e ${go} ]; do sleep 0.1; done; seq 100000; exit 7`;
  const { child, reader, pid } = await start(link.address, script);
  link.closed = true;
  await Bun.sleep(AWAY_MS);
  expect(runs(pid)).toBe(true);
  writeFileSync(go, "");
  link.closed = false;
  let output = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    output += Buffer.from(part.value).toString();
  }
  expect(output).toBe((await run(["seq", "100000"])).stdout);
  expect(await child.exited).toBe(7);
  link.end();
}, 60_000);

test.concurrent("a client that is stopped for longer than the lease has its program still", async () => {
  const { child, pid } = await start(hasty.address, "while :; do echo more; sleep 0.2; done");
  child.kill("SIGSTOP");
  await Bun.sleep(STOPPED_MS);
  expect(runs(pid)).toBe(true);
  child.kill("SIGCONT");
  child.kill("SIGTERM");
  await child.exited;
  expect(child.signalCode).toBe("SIGTERM");
  await until(
    () => !runs(pid),
    () => `the end of ${pid}`,
  );
}, 60_000);

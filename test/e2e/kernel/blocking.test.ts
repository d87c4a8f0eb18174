/** Files of the HOST's kernel that wait until there is something to read: trace_pipe. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { run, sh } from "../support/run.ts";
import { QTFS, type Server, startServer } from "../support/server.ts";

let directory = "";
let server: Server;
/** An instance of tracefs of the test's own, here and through the mount. */
let here = "";
let there = "";

beforeAll(async () => {
  directory = mkdtempSync(`${process.env.TMPDIR ?? "/var/tmp"}/blocking-`);
  const [tree, mountpoint] = [`${directory}/host`, `${directory}/mnt`];
  for (const path of [tree, mountpoint]) mkdirSync(path);
  await sh(`mount -t tracefs none ${tree}`);
  server = await startServer(tree, directory);
  await sh(`${QTFS} mount -o server=${server.address} ${tree} ${mountpoint}`);
  const instance = `instances/qtfs-${process.pid}`;
  here = `${tree}/${instance}`;
  there = `${mountpoint}/${instance}`;
  mkdirSync(there);
});
afterAll(async () => {
  await run(["umount", "--lazy", `${directory}/mnt`]);
  await server?.stop();
  // Nobody has its files open any more.
  await run(["rmdir", here]);
  await run(["umount", "--lazy", `${directory}/host`]);
  rmSync(directory, { recursive: true, force: true });
});

const reader = () => {
  const command = ["head", "-n", "1", `${there}/trace_pipe`];
  return Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
};

/** Waits until `child` waits in a read(2). */
async function untilReading(child: Bun.Subprocess): Promise<void> {
  const endMs = Date.now() + 30_000;
  const inRead = () => /^(0|63) /.test(readFileSync(`/proc/${child.pid}/syscall`, "latin1"));
  while (child.exitCode === null && !inRead()) {
    if (Date.now() > endMs) throw new Error("It does not read");
    await Bun.sleep(10);
  }
  expect(child.exitCode).toBeNull();
}

test("a reader waits until the HOST has something, and others do not wait for it", async () => {
  const waiting = reader();
  await untilReading(waiting);
  expect(await sh(`cat ${there}/current_tracer`)).toBe("nop\n");
  expect(waiting.exitCode).toBeNull();
  writeFileSync(`${here}/trace_marker`, "something\n");
  expect(await waiting.exited).toBe(0);
  expect(await waiting.stdout.text()).toContain("something");
});

test.each(["SIGINT", "SIGKILL"] as const)("a reader that waits is ended by %s", async (signal) => {
  const waiting = reader();
  await untilReading(waiting);
  waiting.kill(signal);
  await waiting.exited;
  expect(waiting.signalCode).toBe(signal);
  const next = reader();
  // What comes in the moment until the HOST has heard of it is lost with who waited.
  while (next.exitCode === null) {
    writeFileSync(`${here}/trace_marker`, "for another\n");
    await Promise.race([next.exited, Bun.sleep(100)]);
  }
  expect(next.exitCode).toBe(0);
  expect(await next.stdout.text()).toContain("for another");
});

test("who does not want to wait is told that there is nothing", async () => {
  const command = ["dd", `if=${there}/trace_pipe`, "iflag=nonblock", "count=1"];
  const { stderr } = await run(command);
  expect(stderr).toContain("Resource temporarily unavailable");
});

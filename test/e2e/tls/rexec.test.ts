/** Programs by TLS: who may run what, and what becomes of it when a name is revoked. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { Place } from "./place.ts";

const place = new Place();
const { address, directory } = place;
const logPath = `${directory}/rexec.log`;
const log = () => readFileSync(logPath, "utf8");
let server: Bun.Subprocess;

const rexec = (name: string, ...words: string[]) =>
  run(
    [QTFS, "rexec", "--server", address, "--identity", `${directory}/${name}.identity`, ...words],
    {
      timeoutMs: 30_000,
    },
  );

beforeAll(async () => {
  await place.enroll("runner", "--allow", "/usr/bin/*");
  await place.enroll("reader");
  const output = openSync(logPath, "w");
  const words = ["--listen", address, "--identities", place.identities, "--allow", "/usr/*"];
  server = Bun.spawn([QTFS, "rexec-server", ...words], { stdio: ["ignore", output, output] });
  closeSync(output);
  await until(
    () => log().includes("Listening at"),
    () => log(),
  );
});
afterAll(async () => {
  server.kill("SIGINT");
  await server.exited;
  await place.close();
});

test("what goes in and comes out is whole", async () => {
  const large = "0123456789abcdef".repeat(1 << 17);
  const words = ["rexec", "--server", address, "--identity", `${directory}/runner.identity`, "cat"];
  const child = Bun.spawn([QTFS, ...words], { stdin: Buffer.from(large), stdout: "pipe" });
  expect(await child.stdout.text()).toBe(large);
  expect(await child.exited).toBe(0);
});

test("a name runs what both its enrolment and the server allow", async () => {
  expect(await rexec("runner", "echo", "here")).toMatchObject({ code: 0, stdout: "here\n" });
  const outside = await rexec("runner", "/usr/sbin/chroot", "--version");
  expect(outside.stderr).toContain("does not allow /usr/sbin/chroot");
  expect((await rexec("reader", "echo", "here")).stderr).toContain("does not allow");
  expect(log()).toContain("for runner at 127.0.0.1:");
});

test("without a certificate nothing runs", async () => {
  const { code, stderr } = await run([QTFS, "rexec", "--server", address, "true"]);
  expect(code).not.toBe(0);
  expect(stderr).toContain("this server speaks TLS alone");
});

test("a client that is killed takes its program with it, long before the lease", async () => {
  const identity = ["--identity", `${directory}/runner.identity`];
  const client = Bun.spawn([QTFS, "rexec", "--server", address, ...identity, "sleep", "1001"]);
  await until(
    () => log().includes("sleep 1001 as uid"),
    () => log(),
  );
  client.kill("SIGKILL");
  // The lease is a minute.
  await until(
    () => /sleep 1001[\s\S]*died of signal 9/.test(log()),
    () => log(),
    30_000,
  );
}, 60_000);

test("a revoked name's programs end, and no other is had", async () => {
  const sleeping = rexec("runner", "sleep", "25");
  await until(
    () => log().includes("sleep 25 as uid"),
    () => log(),
  );
  await place.identity("revoke", "runner");
  const { code, stderr } = await sleeping;
  expect(code).not.toBe(0);
  expect(stderr).toContain("does not accept our certificate: certificate revoked");
  expect(log()).toContain("Ended the connection of runner");
  // Its program has ended with it, long before any lease.
  await until(
    () => /sleep 25[\s\S]*died of signal/.test(log()),
    () => log(),
  );
  expect((await rexec("runner", "true")).code).not.toBe(0);
  expect(log()).toContain("certificate revoked");
});

/** What becomes of a program whose client is away for longer than the lease: its rule says. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { until } from "../support/program.ts";
import { Link } from "./link.ts";
import { QTFS, run, Stage } from "./stage.ts";

const RULES = `
lease_s = 1

[[allow]]
program = "*/dash"
args = ["-c", "*", "keep"]
on_lost = "keep"

[[allow]]
program = "*/dash"
on_lost = "terminate"
`;

/** What info says of a program. */
interface Report {
  pid: number;
  connected: boolean;
}

const BOUND_MS = 30_000;

const directory = mkdtempSync(`${tmpdir()}/onlost-`);
let stage: Stage;
let link: Link;

beforeAll(async () => {
  writeFileSync(`${directory}/rexec.toml`, RULES);
  stage = await Stage.begin(["--config", `${directory}/rexec.toml`]);
  link = new Link(stage.directory, "lost");
  await link.begin();
});
afterAll(async () => {
  link.end();
  await stage.end();
  rmSync(directory, { recursive: true, force: true });
});

test("keep: it goes on, and its client has it again; terminate: it does not", async () => {
  const go = `${directory}/go`;
  const start = async (how: string) => {
    const script = `echo $$; until [ -e ${go} ]; do sleep 0.05; done; echo went on; exit 5`;
    const server = ["--server", `unix://${link.path}`];
    const child = Bun.spawn([QTFS, "rexec", ...server, "dash", "-c", script, how], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 2 * BOUND_MS,
      killSignal: "SIGKILL",
    });
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    return { child, reader, pid: Number(Buffer.from(value ?? []).toString()) };
  };
  const [kept, ended] = await Promise.all([start("keep"), start("end")]);
  const runs = (pid: number) => existsSync(`/proc/${pid}/exe`);
  expect([runs(kept.pid), runs(ended.pid)]).toEqual([true, true]);
  link.closed = true;
  await until(
    () => stage.log.includes(`pid ${ended.pid}: died of signal 9`),
    () => `the end of ${ended.pid}: ${stage.log}`,
  );
  expect(runs(kept.pid)).toBe(true);
  link.closed = false;
  const isConnected = async () => {
    const { stdout } = await run([QTFS, "info", stage.address, "--json"]);
    const { programs } = JSON.parse(stdout).daemons[0];
    return programs.some((one: Report) => one.pid === kept.pid && one.connected);
  };
  await until(isConnected, () => "its client");
  writeFileSync(go, "");
  expect(await kept.child.exited).toBe(5);
  expect(Buffer.from((await kept.reader.read()).value ?? []).toString()).toBe("went on\n");
  expect(await ended.child.exited).toBe(125);
}, 90_000);

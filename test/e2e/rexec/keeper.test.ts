/** Servers that end, are killed and come again; keepers that are killed. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { Link } from "./link.ts";
import { QTFS, run, Stage } from "./stage.ts";

/** Runs `fn` with a server of its own. */
async function withStage(options: string[], fn: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await Stage.begin(options);
  try {
    await fn(stage);
  } finally {
    await stage.end();
  }
}

/** Whether process `pid` runs, and is no zombie. */
function runs(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const ended = (pid: number) =>
  until(
    () => !runs(pid),
    () => `the end of ${pid}`,
  );

/** A shell over there that goes on once `release` is called, and tells its number first. */
class Waiting {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #file: string;
  output = "";
  readonly #reading: Promise<void>;

  constructor(stage: Stage, after: string, address = stage.address) {
    this.#file = `${stage.directory}/go-${crypto.randomUUID()}`;
    const script = `echo $$; while [ ! -e ${this.#file} ]; do sleep 0.05; done; ${after}`;
    this.child = Bun.spawn([QTFS, "rexec", "--server", address, "sh", "-c", script], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    for await (const part of this.child.stdout) this.output += Buffer.from(part).toString();
  }

  async pid(): Promise<number> {
    await until(
      () => this.output.includes("\n"),
      () => "the program's number",
    );
    return Number.parseInt(this.output, 10);
  }

  release(): void {
    writeFileSync(this.#file, "");
  }

  /** What it has written after its number, and its code. */
  async end(): Promise<[string, number]> {
    const code = await this.child.exited;
    await this.#reading;
    return [this.output.slice(this.output.indexOf("\n") + 1), code];
  }
}

test("a server is killed and comes again: programs go on, and their codes come", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "echo after; exit 7");
    const { keeper } = stage;
    await waiting.pid();
    await stage.kill();
    await stage.start();
    expect(stage.keeper).toBe(keeper);
    const other = await run([...stage.rexec, "sh", "-c", "echo other; exit 3"]);
    expect([other.stdout, other.code]).toEqual(["other\n", 3]);
    waiting.release();
    expect(await waiting.end()).toEqual(["after\n", 7]);
    await until(
      () => /Program \d+, pid \d+: exited with 7/.test(stage.log),
      () => stage.log,
    );
  }));

test("who comes while a server is away waits a moment for the next one", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "true");
    await waiting.pid();
    await stage.stop();
    const early = run([...stage.rexec, "echo", "served"]);
    // The keeper is there, and nobody else: it must have looked for the server by then.
    await Bun.sleep(300);
    await stage.start();
    expect(await early).toMatchObject({ stdout: "served\n", stderr: "", code: 0 });
    waiting.release();
    expect((await waiting.end())[1]).toBe(0);
  }));

test("a program that ends while there is no server: its client has its code at once", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "echo after; exit 7");
    const pid = await waiting.pid();
    await stage.kill();
    const alone = await run([QTFS, "info", `${stage.keeper}`]);
    expect(alone.stdout).toStartWith(`qtfs rexec-keeper, process ${stage.keeper}\n`);
    expect(alone.stdout).toMatch(new RegExp(`^${pid} .* runs for`, "m"));
    waiting.release();
    expect(await waiting.end()).toEqual(["after\n", 7]);
    await stage.start();
    // What was to be logged meanwhile is logged now.
    await until(
      () => /exited with 7/.test(stage.log),
      () => stage.log,
    );
    const { stdout } = await run([QTFS, "info", stage.address]);
    expect(stdout).toMatch(/exit 7/);
  }));

test("a server that is told to end leaves its programs to the next one", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "echo after; exit 7");
    await waiting.pid();
    process.kill(stage.pid, "SIGTERM");
    await ended(stage.pid);
    await stage.start();
    waiting.release();
    expect(await waiting.end()).toEqual(["after\n", 7]);
  }));

test("without another server programs end after the lease, and the keeper with them", async () => {
  const config = `/tmp/qtfs-lease-${process.pid}.toml`;
  writeFileSync(config, "lease_s = 1\n");
  await withStage(["--config", config], async (stage) => {
    const waiting = new Waiting(stage, "echo after");
    const { keeper } = stage;
    const pid = await waiting.pid();
    await stage.kill();
    const [output, code] = await waiting.end();
    expect([output, code]).toEqual(["", 125]);
    expect(await new Response(waiting.child.stderr).text()).toContain("was stopped");
    await ended(pid);
    await ended(keeper);
  });
});

const KEEPING = 'lease_s = 1\n[[allow]]\nprogram = "*"\non_lost = "keep"\n';

test("on_lost = keep: a program waits for its client beyond the lease, and the client for it", async () => {
  const config = `/tmp/qtfs-keep-${process.pid}.toml`;
  writeFileSync(config, KEEPING);
  await withStage(["--config", config], async (stage) => {
    const link = new Link(stage.directory, "link");
    await link.begin();
    const address = `unix://${link.path}`;
    const returns = new Waiting(stage, "echo after; exit 7", address);
    const never = new Waiting(stage, "echo never", address);
    const [pid, other] = [await returns.pid(), await never.pid()];
    link.closed = true;
    never.child.kill("SIGKILL");
    const states = async () => (await run([QTFS, "info", stage.address])).stdout;
    // Longer than the lease, which is looked at twice.
    await Bun.sleep(2500);
    expect(await states()).toMatch(new RegExp(`^${other} .*, client away`, "m"));
    expect([runs(pid), runs(other), returns.child.exitCode]).toEqual([true, true, null]);
    link.closed = false;
    returns.release();
    expect(await returns.end()).toEqual(["after\n", 7]);
    expect((await run([QTFS, "info", `${other}`, "--signal", "KILL"])).code).toBe(0);
    await ended(other);
    link.end();
  });
});

test("a keeper without programs ends with its server, at once when that is told to end", () =>
  withStage([], async (stage) => {
    const { keeper } = stage;
    process.kill(stage.pid, "SIGTERM");
    await ended(stage.pid);
    await ended(keeper);
    await stage.start();
    expect(stage.keeper).not.toBe(keeper);
  }));

test("a program that was detached is found again", () =>
  withStage([], async (stage) => {
    const { stdout } = await run([...stage.rexec, "--detach", "sleep", "60"]);
    const pid = Number(stdout);
    const { keeper } = stage;
    process.kill(stage.pid, "SIGTERM");
    await ended(stage.pid);
    await stage.start();
    expect(stage.keeper).toBe(keeper);
    const info = await run([QTFS, "info", stage.address]);
    expect(info.stdout).toMatch(new RegExp(`^${pid} .* runs for .* sleep 60$`, "m"));
    process.kill(pid, "SIGTERM");
    await until(
      () => /died of signal 15/.test(stage.log),
      () => stage.log,
    );
  }));

test("a keeper is killed: its programs end, clients are told, and others are served", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "echo after");
    const { keeper } = stage;
    const pid = await waiting.pid();
    process.kill(keeper, "SIGKILL");
    expect(await waiting.end()).toEqual(["", 125]);
    await ended(pid);
    await until(
      () => stage.keeper !== keeper,
      () => stage.log,
    );
    const other = await run([...stage.rexec, "sh", "-c", "echo other; exit 3"]);
    expect([other.stdout, other.code]).toEqual(["other\n", 3]);
    expect(stage.log).toContain("The keeper before was killed: 1 of its programs are ended");
    // No zombie is left of it.
    expect(existsSync(`/proc/${keeper}`)).toBe(false);
  }));

test("what rexec has to say itself is said though the program's stderr has ended", () =>
  withStage([], async (stage) => {
    const pidFile = `${stage.directory}/pid`;
    const program = "echo theirs >&2; exec 2>&-; sleep 1000";
    // The pipe has another writer, so its reader is still there.
    const script = `(sh -c 'echo $$ >${pidFile}; exec "$@"' sh "$@" 2>&1 >/dev/null; echo $?) | cat`;
    const ran = run(["sh", "-c", script, "sh", ...stage.rexec, "sh", "-c", program]);
    const isEnded = () => {
      const pid = existsSync(pidFile) ? readFileSync(pidFile, "utf8").trim() : "";
      return pid !== "" && readlinkSync(`/proc/${pid}/fd/2`) === "/dev/null";
    };
    await until(isEnded, () => "the end of stderr");
    process.kill(stage.keeper, "SIGKILL");
    // By which of two ways it hears of it.
    expect((await ran).stdout).toMatch(/^theirs\nrexec: .*(does not|is not) know.*\n125\n$/);
  }));

test("server and keeper are killed at once: the next ones find what is left, and end it", () =>
  withStage([], async (stage) => {
    const waiting = new Waiting(stage, "echo after");
    const pid = await waiting.pid();
    const { stdout } = await run([...stage.rexec, "--detach", "sleep", "60"]);
    process.kill(stage.keeper, "SIGSTOP");
    process.kill(stage.pid, "SIGSTOP");
    process.kill(stage.keeper, "SIGKILL");
    await stage.kill();
    await stage.start();
    await ended(pid);
    expect((await waiting.end())[1]).toBe(125);
    const info = await run([QTFS, "info", stage.address]);
    expect(info.stdout).toMatch(new RegExp(`^${stdout.trim()} +0 +nobody: .* runs for`, "m"));
    const told = await run([QTFS, "info", stdout.trim(), "--signal", "TERM"]);
    expect(told.code).toBe(0);
    await ended(Number(stdout));
    await until(
      async () => /nobody knows how/.test((await run([QTFS, "info", stage.address])).stdout),
      () => "its end in qtfs info",
    );
  }));

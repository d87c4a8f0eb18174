/** From start to end: signals, clients that are killed, programs that stay, many at once. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { until } from "../support/program.ts";
import { QTFS, run, Stage } from "./stage.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin(["--allow-uid", "4711"]);
});
afterAll(async () => {
  await stage.end();
});

/** A client that runs, and what it has printed. */
class Client {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  output = "";

  constructor(...command: string[]) {
    this.child = Bun.spawn([...stage.rexec, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const part of this.child.stdout) this.output += Buffer.from(part).toString();
  }

  async prints(text: string): Promise<void> {
    await until(
      () => this.output.includes(text),
      () => `${text} in ${this.output}`,
    );
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

for (const signal of [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
  "SIGWINCH",
] as const) {
  test(`${signal} reaches the program, which may handle it`, async () => {
    const client = new Client(stage.probe, "wait");
    await client.prints("ready");
    client.child.kill(signal);
    expect(await client.child.exited).toBe(0);
    await client.prints("signal ");
    const numbers = {
      SIGHUP: 1,
      SIGINT: 2,
      SIGQUIT: 3,
      SIGUSR1: 10,
      SIGUSR2: 12,
      SIGTERM: 15,
      SIGWINCH: 28,
    };
    expect(client.output).toBe(`ready\nsignal ${numbers[signal]}\n`);
  });
}

test("a signal that the program dies of is what the client dies of", async () => {
  const client = new Client("sh", "-c", "echo ready; exec sleep 60");
  await client.prints("ready");
  client.child.kill("SIGTERM");
  await client.child.exited;
  expect(client.child.signalCode).toBe("SIGTERM");
});

test("the original's map of processes tells the program's, and is locked meanwhile", async () => {
  mkdirSync("/var/run/rexec/pids", { recursive: true });
  const client = new Client("sh", "-c", "echo $$; exec sleep 60");
  await client.prints("\n");
  const file = `/var/run/rexec/pids/${client.child.pid}`;
  await until(
    () => existsSync(file) && readFileSync(file, "utf8") !== "",
    () => file,
  );
  expect(readFileSync(file, "utf8")).toBe(client.output.trim());
  expect(Bun.spawnSync(["flock", "--nonblock", file, "true"]).exitCode).toBe(1);
  client.child.kill("SIGKILL");
  await client.child.exited;
  expect(Bun.spawnSync(["flock", "--nonblock", file, "true"]).exitCode).toBe(0);
  // The next one removes it, and its own when it ends.
  const next = new Client("true");
  expect(await next.child.exited).toBe(0);
  expect([existsSync(file), existsSync(`/var/run/rexec/pids/${next.child.pid}`)]).toEqual([
    false,
    false,
  ]);
  rmSync("/var/run/rexec", { recursive: true });
});

test("a signal reaches the whole process group", async () => {
  const client = new Client("sh", "-c", "sleep 60 & echo $!; wait");
  await client.prints("\n");
  const sleeper = Number(client.output);
  client.child.kill("SIGINT");
  client.child.kill("SIGTERM");
  await client.child.exited;
  await ended(sleeper);
});

const stateOf = (one: number) =>
  /^State:\t(.)/m.exec(readFileSync(`/proc/${one}/status`, "utf8"))?.[1];
const isStopped = (one: number) => () => stateOf(one) === "T";

test("TSTP stops both, CONT lets both go on", async () => {
  const client = new Client("sh", "-c", "echo $$; exec sleep 60");
  await client.prints("\n");
  const pid = Number(client.output);
  client.child.kill("SIGTSTP");
  await until(isStopped(pid), () => "a stopped program");
  await until(isStopped(client.child.pid), () => "a stopped client");
  client.child.kill("SIGCONT");
  await until(
    () => stateOf(pid) !== "T",
    () => "a program that goes on",
  );
  client.child.kill("SIGTERM");
  await client.child.exited;
  await ended(pid);
});

test("a program that handles TSTP decides itself", async () => {
  const client = new Client(stage.probe, "wait");
  await client.prints("ready");
  client.child.kill("SIGTSTP");
  expect(await client.child.exited).toBe(0);
  await client.prints("signal 20");
});

test("a program that stops itself stops its client, behind what it has written", async () => {
  const client = new Client("sh", "-c", "echo before; kill -STOP $$; echo after; exit 6");
  await until(isStopped(client.child.pid), () => "a stopped client");
  await client.prints("before");
  client.child.kill("SIGCONT");
  expect(await client.child.exited).toBe(6);
  await client.prints("after");
});

test("a program whose client is killed is ended, with its group", async () => {
  const client = new Client("sh", "-c", "sleep 60 & echo $$ $!; wait");
  await client.prints("\n");
  const [shell, sleeper] = client.output.split(" ").map(Number);
  client.child.kill("SIGKILL");
  await ended(shell as number);
  await ended(sleeper as number);
});

test("a program is the leader of a session of its own", async () => {
  const { stdout } = await run([...stage.rexec, stage.probe, "session"]);
  expect(stdout).toBe("1 1\n");
});

test("a daemon outlives rexec, which does not wait for it, with nothing of ours open", async () => {
  const script = 'setsid sh -c "exec sleep 60" </dev/null >/dev/null 2>&1 & echo $!';
  const { stdout, code } = await run([...stage.rexec, "sh", "-c", script]);
  expect(code).toBe(0);
  const pid = Number(stdout);
  await until(
    () => runs(pid),
    () => "the daemon",
  );
  const listed = await run(["ls", "-l", `/proc/${pid}/fd`]);
  process.kill(pid, "SIGKILL");
  const targets = [...listed.stdout.matchAll(/ -> (.*)/g)].map(([, target]) => target);
  expect(targets).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
});

test("what a shim's start does: an answer on standard output, and the shim stays", async () => {
  const script = 'cat >/dev/null; sleep 60 </dev/null >/dev/null 2>&1 & echo "$PWD $!"';
  const started = await run([...stage.rexec, "--cwd", "/usr", "sh", "-c", script], {
    input: Buffer.from([8, 0, 255, 10]),
  });
  const [directory, pid] = started.stdout.split(" ");
  expect([started.code, directory]).toEqual([0, "/usr"]);
  expect(runs(Number(pid))).toBe(true);
  process.kill(Number(pid), "SIGKILL");
});

test("a user that may connect runs programs as itself alone", async () => {
  const as = (uid: string) => ["setpriv", "--reuid", uid, "--regid", "4711", "--groups", "4712"];
  const run2 = (uid: string) =>
    run(["sh", "-c", `cd /; exec ${[...as(uid), ...stage.rexec, "id"].join(" ")}`]);
  // The executable and the socket's directory are for root alone in some places.
  await run(["chmod", "755", stage.directory]);
  const own = await run2("4711");
  expect(own.stdout).toBe("uid=4711 gid=4711 groups=4711,4712\n");
  const other = await run2("4713");
  expect([other.code, other.stdout]).toEqual([125, ""]);
  // Who is refused before he has said anything may not hear why.
  expect(other.stderr).toMatch(
    /may not allow this user|this user may not connect|uid 4713 .* not among those allowed/,
  );
});

test("nobody listens: a sentence, and 125", async () => {
  const { code, stderr } = await run([QTFS, "rexec", "--server", "unix:///no/such.sock", "true"]);
  expect(code).toBe(125);
  expect(stderr).toBe(
    "rexec: No rexec-server listens at unix:///no/such.sock (qtfs rexec-server)\n",
  );
});

test("wrong options are errors, and those behind the program are its own", async () => {
  const wrong = await run([QTFS, "rexec", "--sever", "x", "true"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("unknown option --sever, did you mean --server?");
  const missing = await run([QTFS, "rexec", "--server", stage.address]);
  expect([missing.code, missing.stderr]).toEqual([
    2,
    'qtfs rexec: PROGRAM is missing (try "qtfs rexec --help")\n',
  ]);
  const own = await run([...stage.rexec, "echo", "--sever", "-t", "--help"]);
  expect(own.stdout).toBe("--sever -t --help\n");
  const dashes = await run([...stage.rexec, "--", "echo", "--", "x"]);
  expect(dashes.stdout).toBe("-- x\n");
});

test("--env sets, --cwd chooses, CMD_NET_ADDR names the server and stays here", async () => {
  const { stdout } = await run(
    [
      QTFS,
      "rexec",
      "--env",
      "A=b c",
      "--cwd",
      "/usr/bin",
      "sh",
      "-c",
      'echo "$A $PWD [$CMD_NET_ADDR]"',
    ],
    { env: { PATH: process.env.PATH ?? "", A: "old", CMD_NET_ADDR: stage.address } },
  );
  expect(stdout).toBe("b c /usr/bin []\n");
  const absent = await run([...stage.rexec, "--cwd", "/no/such", "true"]);
  expect(absent.code).toBe(126);
  expect(absent.stderr).toBe(
    "rexec: cannot be in /no/such there: No such file or directory (see --cwd)\n",
  );
});

test("qtfs info lists what runs, what has ended and how", async () => {
  const client = new Client("sh", "-c", "echo ready; exec sleep 61");
  await client.prints("ready");
  await run([...stage.rexec, "sh", "-c", "exit 44"]);
  const { stdout, code } = await run([QTFS, "info", stage.address]);
  expect(code).toBe(0);
  expect(stdout).toStartWith(`qtfs rexec-server, process ${stage.pid}\n`);
  const owner = "uid 0, pid \\d+";
  const row = (state: string, words: string) =>
    new RegExp(`^\\d+ +0 +${owner} +${state} .* +sh -c ${words}$`, "m");
  expect(stdout).toMatch(row("runs for", "echo ready; exec sleep 61"));
  expect(stdout).toMatch(row("exit 44, .* ago", "exit 44"));
  const json = await run([QTFS, "info", stage.address, "--json"]);
  const [daemon] = JSON.parse(json.stdout).daemons;
  expect(
    daemon.programs.filter((one: { ending?: object }) => one.ending === undefined),
  ).toHaveLength(1);
  client.child.kill("SIGKILL");
  await client.child.exited;
});

test("qtfs info signals a program's process group", async () => {
  const client = new Client("sh", "-c", "echo $$; sleep 60; :");
  await client.prints("\n");
  const pid = client.output.trim();
  const { stdout, code } = await run([QTFS, "info", pid, "--signal", "TERM"]);
  expect([stdout, code]).toEqual([`Program ${pid}: signal 15\n`, 0]);
  await client.child.exited;
  expect(client.child.signalCode).toBe("SIGTERM");
  const gone = await run([QTFS, "info", pid, "--signal", "9"]);
  expect([gone.stderr, gone.code]).toEqual([
    `qtfs info: No rexec-server has a program that runs as ${pid}\n`,
    1,
  ]);
  const wrong = await run([QTFS, "info", pid, "--signal", "TREM"]);
  expect(wrong.stderr).toContain('"TREM" is no signal');
});

test("the log has a line for each start, end and refusal", async () => {
  await run([...stage.rexec, "sh", "-c", "exit 45"]);
  await run([...stage.rexec, "nosuchthing", "a b"]);
  // The keeper answers the client, and then tells the server.
  for (const line of [
    /info +Program \d+, pid \d+: sh -c "exit 45" as uid 0 for uid 0, pid \d+/,
    /info +Program \d+, pid \d+: exited with 45 after [\d.]+ s/,
    /warn +Refused nosuchthing "a b" as uid 0 for uid 0, pid \d+: nosuchthing: not found/,
  ]) {
    await until(
      () => line.test(stage.log),
      () => `${line} in the log`,
    );
  }
});

test("strangers who say nonsense, nothing, or want something else do no harm", async () => {
  const path = stage.address.slice("unix://".length);
  const silent = connect(path);
  const nonsense = Array.from({ length: 50 }, async (_, i) => {
    const socket = connect(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
    socket.end(Buffer.from(Array.from({ length: 1 + i * 7 }, (_, n) => (n * 31 + i * 17) & 0xff)));
    await promise;
  });
  await Promise.all(nonsense);
  const mount = await run([
    QTFS,
    "mount",
    "-o",
    `server=${stage.address}`,
    "/srv",
    stage.directory,
  ]);
  expect(mount.code).toBe(1);
  expect(mount.stderr).toContain("this is a rexec-server, not one for mount");
  const { code } = await run([...stage.rexec, "true"]);
  expect(code).toBe(0);
  silent.destroy();
});

/** Links that break, programs that are to go on without us, further descriptors, other names. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { Link } from "./link.ts";
import { QTFS, run, Stage } from "./stage.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin();
});
afterAll(async () => {
  await stage.end();
});

test("32 MiB each way through a link that breaks again and again: nothing is lost or doubled", async () => {
  const proxy = new Link(stage.directory, "cuts", 3_000_000);
  await proxy.begin();
  const size = 32 << 20;
  const source = `seq 1 10000000 | head -c ${size}`;
  const through = `${QTFS} rexec --server unix://${proxy.path} cat`;
  try {
    const [direct, remote] = await Promise.all([
      run(["bash", "-c", `${source} | md5sum`]),
      run(["bash", "-c", `${source} | ${through} | md5sum`]),
    ]);
    expect(remote.stdout).toBe(direct.stdout);
    expect(remote.stderr).toBe("");
    expect(proxy.connections).toBeGreaterThan(10);
  } finally {
    proxy.end();
  }
});

test("a program ends while the link is away: its output and its code come later", async () => {
  const proxy = new Link(stage.directory, "away");
  await proxy.begin();
  const file = `${stage.directory}/went-on`;
  const script = `echo before; while [ ! -e ${file} ]; do sleep 0.05; done; echo after; exit 3`;
  const client = Bun.spawn(
    [QTFS, "rexec", "--server", `unix://${proxy.path}`, "sh", "-c", script],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  const read = (async () => {
    for await (const part of client.stdout) output += Buffer.from(part).toString();
  })();
  await until(
    () => output === "before\n",
    () => `before in ${output}`,
  );
  proxy.closed = true;
  writeFileSync(file, "");
  await until(
    () => stage.log.includes("exited with 3"),
    () => stage.log,
  );
  expect(output).toBe("before\n");
  proxy.closed = false;
  expect(await client.exited).toBe(3);
  await read;
  expect(output).toBe("before\nafter\n");
  proxy.end();
});

test("a client without a link ends by the signal that is to end it", async () => {
  const proxy = new Link(stage.directory, "gone");
  await proxy.begin();
  const client = Bun.spawn(
    [QTFS, "rexec", "--server", `unix://${proxy.path}`, "sh", "-c", "echo $$; exec sleep 60"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const { value } = await client.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  proxy.closed = true;
  await until(
    () => {
      client.kill("SIGTERM");
      return client.signalCode !== null;
    },
    () => "its end",
  );
  expect(client.signalCode).toBe("SIGTERM");
  // The server waits for it to come back, for its lease.
  expect(() => process.kill(pid, 0)).not.toThrow();
  process.kill(pid, "SIGKILL");
  proxy.end();
});

function stateOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return "";
  }
}

test("a server that is interrupted says so, and ends its programs", async () => {
  const other = await Stage.begin();
  const client = Bun.spawn([...other.rexec, "sh", "-c", "echo $$; exec sleep 60"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { value } = await client.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  process.kill(other.pid, "SIGINT");
  expect(await client.exited).toBe(125);
  expect(await new Response(client.stderr).text()).toContain("the rexec-server was stopped");
  await until(
    () => {
      const found = /^State:\t(.)/m.exec(stateOf(pid))?.[1];
      return found === undefined || found === "Z";
    },
    () => "the program's end",
  );
  await other.end();
});

test("--timeout ends the program; the code is timeout's", async () => {
  const late = await run([...stage.rexec, "--timeout", "0.2", "sleep", "60"]);
  expect([late.code, late.signal]).toEqual([124, null]);
  const early = await run([...stage.rexec, "--timeout", "60", "sh", "-c", "exit 4"]);
  expect(early.code).toBe(4);
  const wrong = await run([...stage.rexec, "--timeout", "soon", "true"]);
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    'qtfs rexec: "soon" is no number of seconds (try "qtfs rexec --help")\n',
  ]);
});

test("--detach prints the number of a program that goes on", async () => {
  const file = `${stage.directory}/detached`;
  const script = `ls -l /proc/$$/fd > ${file}.new; mv ${file}.new ${file}; exec sleep 60`;
  const { stdout, code } = await run([...stage.rexec, "--detach", "sh", "-c", script]);
  expect(code).toBe(0);
  const pid = Number(stdout);
  await until(
    () => Bun.file(file).size > 0,
    () => "what it has open",
  );
  expect(() => process.kill(pid, 0)).not.toThrow();
  const lines = readFileSync(file, "utf8").match(/ [0-2] -> .*/g);
  expect(lines?.filter((line) => !line.includes(file))).toEqual([
    " 0 -> /dev/null",
    " 2 -> /dev/null",
  ]);
  process.kill(pid, "SIGKILL");
});

test("--fd gives further descriptors: pipes both ways, and files", async () => {
  writeFileSync(`${stage.directory}/in`, "from a file\n");
  const script = [
    `cd ${stage.directory}; exec 5<in 6>out 7< <(echo from a pipe)`,
    `exec 8> >(cat > piped; touch done)`,
    `${stage.rexec.join(" ")} --fd 8 --fd 5 --fd 6 --fd 7 sh -c 'cat <&5; cat <&7; echo f >&6; echo p >&8'`,
    "exec 8>&-; while [ ! -e done ]; do sleep 0.05; done; cat out piped",
  ].join("\n");
  const { stdout, stderr } = await run(["bash", "-c", script]);
  expect([stdout, stderr]).toEqual(["from a file\nfrom a pipe\nf\np\n", ""]);
  const wrong = await run([...stage.rexec, "--fd", "2", "true"]);
  expect(wrong.code).toBe(2);
});

test("by another name it is that program, with the same words", async () => {
  const here = `${stage.directory}/here`;
  const there = `${stage.directory}/there`;
  for (const directory of [here, there]) mkdirSync(directory);
  symlinkSync(QTFS, `${here}/a-program`);
  copyFileSync(stage.probe, `${there}/a-program`);
  const env = { PATH: `${there}:/bin`, CMD_NET_ADDR: stage.address };
  const words = ["--help", "rexec", "", "x y", "--server", "-t"];
  const command = ["bash", "-c", 'exec -a a-program "$0" "$@"', `${here}/a-program`];
  const routed = await run([...command, "arguments", ...words], { env });
  const direct = await run(["a-program", "arguments", ...words], { env });
  expect(direct.stdout).toContain("a-program".length.toString());
  expect(routed).toEqual(direct);
  expect((await run([...command, "exit", "77"], { env })).code).toBe(77);
});

test("the names of old: rexec and rexec_server", async () => {
  symlinkSync(QTFS, `${stage.directory}/rexec`);
  symlinkSync(QTFS, `${stage.directory}/rexec_server`);
  const env = { PATH: process.env.PATH ?? "", CMD_NET_ADDR: stage.address };
  const { stdout } = await run([`${stage.directory}/rexec`, "echo", "x", "--help"], { env });
  expect(stdout).toBe("x --help\n");
  const tcp = { ...env, CMD_NET_ADDR: "tcp://127.0.0.1:1" };
  const refused = await run([`${stage.directory}/rexec_server`], { env: tcp });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("without authentication: enroll clients");
});

test("over TCP nothing is allowed but what --allow names", async () => {
  const options = ["--insecure", "--allow", "/usr/bin/ech?", "--allow", "*/coreutils"];
  const none = await run([QTFS, "rexec-server", "--listen", "tcp://127.0.0.1:47113", "--insecure"]);
  expect(none.stderr).toContain("without a rule: name with --allow what may be run");
  const tcp = await Stage.begin(options, "tcp://127.0.0.1:47113");
  symlinkSync("/usr/bin/id", `${tcp.directory}/echo`);
  const good = await run([...tcp.rexec, "echo", "allowed"]);
  expect([good.code, good.stdout]).toEqual([0, "allowed\n"]);
  const bad = await run([...tcp.rexec, "id"]);
  expect([bad.code, bad.stdout]).toEqual([126, ""]);
  expect(bad.stderr).toBe("rexec: id: the rexec-server does not allow /usr/bin/id\n");
  const link = await run([...tcp.rexec, `${tcp.directory}/echo`]);
  expect([link.code, link.stdout]).toEqual([126, ""]);
  expect(tcp.log).toContain("Refused id as uid 0 for a TCP client");
  await tcp.end();
});

test("a rule of the configuration says which arguments, too", async () => {
  const config = `${stage.directory}/rules.toml`;
  const rules = [
    '[[allow]]\nprogram = "/usr/bin/printf"\nargs = "%s\\\\n a*"',
    '[[allow]]\nprogram = "*/true"',
  ];
  writeFileSync(config, rules.join("\n"));
  const other = await Stage.begin(["--config", config]);
  const said = async (...words: string[]) => {
    const { stdout, stderr, code } = await run([...other.rexec, ...words]);
    return [code, stdout + stderr];
  };
  expect(await said("printf", "%s\\n", "abc")).toEqual([0, "abc\n"]);
  expect(await said("printf", "%s\\n", "xyz")).toEqual([
    126,
    "rexec: printf: the rexec-server does not allow /usr/bin/printf with these arguments\n",
  ]);
  expect(await said("true", "with", "anything")).toEqual([0, ""]);
  expect(await said("false")).toEqual([
    126,
    "rexec: false: the rexec-server does not allow /usr/bin/false\n",
  ]);
  await other.end();
});

/** `qtfs server` and `qtfs info` as processes. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CONTROL_DIRECTORY } from "../../src/info/control.ts";
import { bindDatagram, receiveDatagram } from "../sys/datagram.ts";
import { qtfs, scratch, start } from "./support.ts";

const directory = scratch();
const socket = join(directory, "server.sock");
const address = `unix://${socket}`;
const shared = join(directory, "shared");
mkdirSync(shared);
const server = start(
  ["server", "--listen", address, "--export", shared, "--export=/usr:ro"],
  join(directory, "server.log"),
);
await server.says("Listening");
afterAll(() => server.end("SIGKILL"));

async function infoJson(which: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await qtfs(["info", which, "--json"]);
  expect([code, stderr]).toEqual([0, ""]);
  const { schema, daemons } = JSON.parse(stdout);
  expect(schema).toBe(1);
  expect(daemons).toHaveLength(1);
  return daemons[0];
}

describe("a server", () => {
  test("says where it listens, on stderr", () => {
    expect(server.log()).toMatch(new RegExp(` info  Listening at ${address}\n$`));
    expect(statSync(socket).isSocket()).toBe(true);
  });

  test("is the only one at its socket", async () => {
    const { code, stderr } = await qtfs(["server", "--listen", address, "--export", shared]);
    expect(code).toBe(1);
    expect(stderr).toContain("Address already in use");
    expect(stderr).toContain(`the qtfs server with pid ${server.pid} is at ${address}`);
  });

  test("is found by address and by process", async () => {
    for (const which of [address, `${server.pid}`]) {
      expect(await infoJson(which)).toMatchObject({
        kind: "server",
        pid: server.pid,
        listen: [address],
        insecure: false,
        exports: [
          { path: shared, readOnly: false },
          { path: "/usr", readOnly: true },
        ],
        logLevel: "info",
        operations: [],
      });
    }
  });

  test("is in the list", async () => {
    const { code, stdout } = await qtfs(["info"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      new RegExp(`^server +${server.pid} .*${shared} /usr:ro at ${address}$`, "m"),
    );
  });

  test("is shown to people", async () => {
    const { stdout } = await qtfs(["info", `${server.pid}`]);
    expect(stdout).toStartWith(`qtfs server, process ${server.pid}\n`);
    expect(stdout).toContain(`  exports          ${shared} (read and write)\n`);
    expect(stdout).toContain("No operation was asked for yet.");
  });

  test("shows its log and changes its level", async () => {
    const log = await qtfs(["info", address, "--log"]);
    expect(log.stdout).toEndWith(`Listening at ${address}\n`);
    const set = await qtfs(["info", address, "--log-level", "debug"]);
    expect(set.stdout).toBe(`qtfs server, process ${server.pid}: log level debug\n`);
    expect(await infoJson(address)).toMatchObject({ logLevel: "debug" });
  });

  test("ends on SIGTERM with 0 and takes its sockets along", async () => {
    expect(await server.end("SIGTERM")).toBe(0);
    expect(server.log()).toContain("Stopping: SIGTERM");
    expect(server.log()).toEndWith("Stopped\n");
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(`${CONTROL_DIRECTORY}/server-${server.pid}.sock`)).toBe(false);
  });
});

describe("a configuration", () => {
  const file = join(directory, "server.toml");
  const fromFile = join(directory, "from-file.sock");
  const fromWords = join(directory, "from-words.sock");
  writeFileSync(
    file,
    `listen = ["unix://${fromFile}"]\nlog_level = "debug"\n[[export]]\npath = "${shared}"\n`,
  );

  test.each([
    [[], fromFile, fromWords],
    [["--listen", `unix://${fromWords}`], fromWords, fromFile],
  ])("with %p besides, which replaces what it says", async (words, there, notThere) => {
    const log = join(directory, "config.log");
    const configured = start(["server", "--config", file, ...words], log);
    await configured.says("Listening");
    expect(existsSync(there)).toBe(true);
    expect(existsSync(notThere)).toBe(false);
    expect(await infoJson(`${configured.pid}`)).toMatchObject({
      listen: [`unix://${there}`],
      exports: [{ path: shared, readOnly: false }],
      logLevel: "debug",
    });
    expect(await configured.end("SIGINT")).toBe(0);
  });

  test("with a mistake is not started", async () => {
    const wrong = join(directory, "wrong.toml");
    writeFileSync(wrong, "[[exports]]\npath = '/srv'\n");
    const { code, stderr } = await qtfs(["server", "--config", wrong]);
    expect(stderr).toBe(
      `qtfs server: ${wrong}, line 1: unknown key "exports", did you mean export?\n`,
    );
    expect(code).toBe(1);
  });
});

test("the service manager is told when it is ready and when it stops", async () => {
  const notify = join(directory, "notify.sock");
  const fd = bindDatagram(notify);
  const words = ["server", "--listen", `unix://${directory}/unit.sock`, "--export", shared];
  const unit = start(words, join(directory, "unit.log"), { NOTIFY_SOCKET: notify });
  await unit.says("Listening");
  await unit.end();
  expect([receiveDatagram(fd), receiveDatagram(fd)]).toEqual(["READY=1", "STOPPING=1"]);
});

test("a reader of its log that goes away does not end a server", async () => {
  const path = join(directory, "piped.sock");
  const words = [
    "server",
    "--listen",
    `unix://${path}`,
    "--export",
    shared,
    "--log-level",
    "debug",
  ];
  const main = new URL("../../src/main.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, main, ...words], { stderr: "pipe", stdout: "ignore" });
  const reader = child.stderr.getReader();
  await reader.read();
  await reader.cancel();
  const level = await qtfs(["info", `${child.pid}`, "--log-level", "trace"]);
  expect(level.code).toBe(0);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

/** What a user can do who is let in, to those who are let in, too. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { startServer } from "../support/server.ts";
import { QTFS, run, Stage } from "./stage.ts";

const USER = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"];

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin(["--allow-uid", "4711"]);
  chmodSync(stage.directory, 0o755);
});
afterAll(async () => {
  await stage.end();
});

test("who says nothing, again and again, keeps no other user from coming", async () => {
  const path = stage.address.slice("unix://".length);
  const script = `
    const { connect } = require("node:net");
    for (let i = 0; i < 200; i++) connect(${JSON.stringify(path)}).on("error", () => {});
    setTimeout(() => console.log("there"), 200); setTimeout(() => {}, 60000);`;
  const silent = Bun.spawn([...USER, process.execPath, "-e", script], { stdout: "pipe" });
  const { value } = await silent.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("there\n");
  const { code, stderr } = await run([...stage.rexec, "true"]);
  silent.kill("SIGKILL");
  await silent.exited;
  expect([code, stderr]).toEqual([0, ""]);
  expect(stage.log).toContain("too many clients that say nothing");
});

test("a file system that does not answer holds up nobody but whose program needs it", async () => {
  const { directory } = stage;
  const [tree, mount] = [`${directory}/tree`, `${directory}/mount`];
  for (const one of [tree, mount]) mkdirSync(one);
  copyFileSync("/bin/true", `${tree}/interpreter`);
  writeFileSync(`${directory}/script`, `#!${mount}/interpreter\n`, { mode: 0o755 });
  const server = await startServer(tree, directory);
  const options = `server=${server.address},cache=never`;
  try {
    expect((await run([QTFS, "mount", "-o", options, tree, mount])).stderr).toBe("");
    process.kill(server.pid, "SIGSTOP");
    const stalled = run([...USER, ...stage.rexec, `${directory}/script`]);
    await Bun.sleep(300);
    expect((await run([...stage.rexec, "true"])).code).toBe(0);
    const { code, stderr } = await stalled;
    expect([code, stderr]).toEqual([126, expect.stringContaining("not be opened within 3 s")]);
    const again = await run([...USER, ...stage.rexec, "true"]);
    expect([again.code, again.stderr]).toEqual([126, expect.stringContaining("for a minute")]);
  } finally {
    process.kill(server.pid, "SIGCONT");
    await run(["umount", "-l", mount]);
    await server.stop();
  }
  expect((await run([...stage.rexec, "true"])).code).toBe(0);
}, 60_000);

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { findProcess } from "../../src/offload/processes.ts";
import { type Service, service } from "../../src/offload/steps/service.ts";

const directory = mkdtempSync(`${tmpdir()}/service-`);
afterAll(() => rmSync(directory, { recursive: true }));
let serial = 0;

function make(over: Partial<Service> = {}): Service {
  // Its own words, by which it is found.
  const seconds = `${1000 + process.pid / 1e7}${serial++}`;
  return {
    name: "sleeper",
    command: ["sleep", seconds],
    env: { PATH: "/usr/bin:/bin" },
    root: "",
    log: `${directory}/log`,
    ready: undefined,
    ...over,
  };
}

test("is started, found, and ended", async () => {
  const one = make();
  const step = service(one);
  expect(await step.isDone()).toBe(false);
  await step.run();
  expect(await step.isDone()).toBe(true);
  const pid = findProcess(one.command, "/");
  await step.run();
  expect(findProcess(one.command, "/")).toBe(pid);
  await step.undo(null);
  expect(await step.isDone()).toBe(false);
});

test("is told by its log when it ends before it is of use", async () => {
  const ready = { kind: "unix", path: `${directory}/nobody` } as const;
  const command = ["sh", "-c", `echo why: ${serial++} >&2`];
  await expect(service(make({ command, ready })).run()).rejects.toThrow(/does not run[\s\S]*why: /);
  const missing = make({ command: ["/nonexistent/program"], ready });
  await expect(service(missing).run()).rejects.toThrow("does not run");
});

test("does not start where somebody else listens", async () => {
  const ready = { kind: "unix", path: `${directory}/taken` } as const;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(ready.path, resolve));
  const step = service(make({ ready }));
  await expect(step.run()).rejects.toThrow("another program listens");
  expect(await step.isDone()).toBe(false);
  server.close();
}, 30_000);

test("commands are a line for a shell", () => {
  const { commands } = service(make({ root: "/r", command: ["a", "b c"], launcher: ["l", "--"] }));
  expect(commands).toEqual([
    `setsid env -i PATH=/usr/bin:/bin l -- chroot /r a 'b c' </dev/null >>${directory}/log 2>&1 &`,
  ]);
});

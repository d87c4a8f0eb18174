/** PROCESS: when processes of the HOST's were started, their end, and signals to one of them alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { HostCalls, startBytes } from "../../src/client/hostcalls.ts";
import { type HostProcess, HostWaits } from "../../src/client/hostwaits.ts";
import { E } from "../../src/sys/errno.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { startOf } from "../../src/sys/process.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { ProcessCall } from "../../src/wire/constants.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const NOBODY = 65_534;
const SIGTERM = 15;
const UNUSED = 4_194_303;

const scratch = mkdtempSync("/dev/shm/qtfs-processes-");
let server: TestServer;
let client: RawClient;
beforeAll(async () => {
  server = await TestServer.start({
    exports: [
      { path: scratch, readOnly: false, allow: ["process"] },
      { path: "/usr", readOnly: true, allow: [] },
    ],
  });
  client = server.client(scratch);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  rmSync(scratch, { recursive: true });
});

const sleeping = () => Bun.spawn(["sleep", "60"]);

function ask(which: keyof typeof ProcessCall, pid: number, start?: number, uid = 0) {
  const signal = which === "SIGNAL" ? SIGTERM : 0;
  return client.call("PROCESS", [ProcessCall[which], pid, uid, signal], startBytes(start));
}

test("a start is that of /proc, for whoever asks", () => {
  const { results } = ask("START", process.pid, undefined, NOBODY);
  expect(Number(Buffer.from(results[0] as Uint8Array).readBigUInt64LE())).toBe(
    startOf(process.pid),
  );
  expect(ask("START", UNUSED).errno).toBe(E.ESRCH);
});

test("a process of another start is neither signalled nor waited for", async () => {
  const child = sleeping();
  const startedAt = startOf(child.pid);
  for (const which of ["SIGNAL", "WAIT"] as const) {
    expect(ask(which, child.pid, startedAt + 1).errno).toBe(E.ESRCH);
  }
  expect(ask("SIGNAL", child.pid, startedAt, NOBODY).errno).toBe(E.EACCES);
  expect(ask("SIGNAL", child.pid, startedAt).errno).toBe(0);
  await child.exited;
  expect(child.signalCode).toBe("SIGTERM");
  expect(ask("WAIT", child.pid, startedAt).errno).toBe(E.ESRCH);
});

test("where it is not allowed", () => {
  const other = server.client("/usr");
  for (const which of ["START", "WAIT"] as const) {
    expect(other.call("PROCESS", [ProcessCall[which], process.pid, 0, 0]).errno).toBe(E.EPERM);
  }
});

test("many are waited for at a time, each until it ends", async () => {
  const ended: [HostProcess, number][] = [];
  const address = parseAddress(`unix://${server.address}`);
  const waits = new HostWaits([address], scratch, (...one) => ended.push(one));
  const children = Array.from({ length: 20 }, sleeping);
  const processes = children.map(({ pid }) => ({ pid, startedAt: startOf(pid) }));
  for (const one of processes.slice(0, 10)) waits.add(one);
  waits.connect(5000);
  for (const one of processes.slice(10)) waits.add(one);
  const next = async () => {
    const before = ended.length;
    while (ended.length === before) {
      const polls = new PollSet(1);
      polls.add(waits.fd, POLLIN);
      if (polls.wait(0) > 0) waits.receive();
      await Bun.sleep(1);
    }
  };
  for (const i of [13, 0, 19]) {
    children[i]?.kill();
    await next();
    expect(ended.at(-1)).toEqual([processes[i] as HostProcess, 0]);
  }
  waits.add({ pid: UNUSED, startedAt: 1 });
  await next();
  expect(ended.at(-1)).toEqual([{ pid: UNUSED, startedAt: 1 }, 0]);
  for (const child of children) child.kill();
});

test("what calls.startOf and calls.signal say", async () => {
  const address = parseAddress(`unix://${server.address}`);
  const calls = new HostCalls([address], scratch, 5000);
  const child = sleeping();
  const startedAt = calls.startOf(child.pid);
  expect(startedAt).toBe(startOf(child.pid));
  expect(calls.startOf(UNUSED)).toBe(-E.ESRCH);
  expect(calls.signal(child.pid, SIGTERM, 0, startedAt - 1)).toBe(E.ESRCH);
  expect(calls.signal(child.pid, SIGTERM, 0, startedAt)).toBe(0);
  await child.exited;
  calls.close();
});

/** Sockets of a mount while its processes die, its connection is cut, its server is started anew. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import type { MountReport, ServerReport } from "../../../src/info/report.ts";
import { ProxyProcess } from "../../fault/proxy/process.ts";
import { isGone } from "../mounts/caller.ts";
import { report, World, type WorldMount, type WorldServer } from "../mounts/world.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { compileMeet, Meeting, said, until } from "./stage.ts";

const MANY_BYTES = 256 * 1024 * 1024;
const CUT_MS = 300;
const CUTS = 5;
/** A server's, unless it is told another. */
const LEASE_MS = 60_000;

const world = new World();
const tree = world.make("host");
let meet: string;
let server: WorldServer;
let proxy: ProxyProcess;
let mount: WorldMount;
let serving: Meeting[] = [];

beforeAll(async () => {
  meet = await compileMeet(world.directory);
  server = await world.server([tree]);
  const listen = `unix://${world.directory}/proxy.sock`;
  proxy = await ProxyProcess.start({ listen, to: server.address, seed: 1 });
  mount = await world.mount({ address: listen }, tree);
});
afterAll(async () => {
  await world.close();
  await proxy.stop();
});
afterEach(async () => {
  for (const one of serving) await one.end();
  serving = [];
});

/** The process that serves the mount's sockets. */
async function twinsPid(): Promise<number> {
  let pid: number | undefined;
  await until(async () => {
    pid = (await report<MountReport>(mount.pid)).twinsPid;
    return pid !== undefined;
  }, "there is a twin process");
  return pid as number;
}

/** The process that has the HOST's ends of streams. */
async function bridgePid(): Promise<number> {
  let pid = 0;
  await until(async () => {
    pid = (await report<ServerReport>(server.pid)).bridgePid;
    return pid !== 0;
  }, "there is a bridge");
  return pid;
}

/** On which side somebody listens, and where the other one calls. */
describe.each([
  ["the HOST", () => tree, () => mount.target],
  ["the mount", () => mount.target, () => tree],
] as const)("somebody listens on %s", (_, there, here) => {
  const name = `socket${Math.random()}`.replace(".", "");
  let listener: Meeting;
  beforeEach(async () => {
    listener = await Meeting.up([meet, "serve", `${there()}/${name}${serial}`, "stream"]);
    serving.push(listener);
    path = `${here()}/${name}${serial++}`;
    expect(await said([meet, "call", path, "stream"])).toContain("heard bye");
  });
  let path = "";
  let serial = 0;
  const hold = async () => {
    const holding = await Meeting.up([meet, "hold", path, `${MANY_BYTES}`]);
    serving.push(holding);
    return holding;
  };
  const calls = () =>
    until(async () => (await said([meet, "call", path, "stream"])).includes("heard bye"), "a call");

  test("the mount's process is killed: no byte is lost, the socket is served still", async () => {
    const holding = await hold();
    const twins = await twinsPid();
    mount = await world.killed(mount);
    expect(await said([meet, "call", path, "stream"])).toContain("heard bye");
    expect(await holding.line()).toBe(`heard ${MANY_BYTES} bytes`);
    expect(await twinsPid()).toBe(twins);
  });

  test("the connection is cut: no byte is lost", async () => {
    const holding = await hold();
    for (let i = 0; i < CUTS; i++) {
      await proxy.do({ fault: "cut", how: "end", downMs: CUT_MS, down: "refuse" }).over;
    }
    expect(await said([meet, "call", path, "stream"])).toContain("heard bye");
    expect(await holding.line()).toBe(`heard ${MANY_BYTES} bytes`);
  });

  test("the twin process is killed: its streams end, another one serves", async () => {
    const holding = await hold();
    const twins = await twinsPid();
    process.kill(twins, "SIGKILL");
    expect(await holding.line()).not.toBe(`heard ${MANY_BYTES} bytes`);
    await calls();
    expect(await twinsPid()).not.toBe(twins);
  });

  test("the server is killed and started anew: no byte is lost, the socket is the same", async () => {
    const inode = () => statSync(path.replace(mount.target, tree), { bigint: true }).ino;
    const holding = await hold();
    const before = [inode(), await bridgePid()];
    process.kill(server.pid, "SIGKILL");
    await until(() => isGone(server.pid), "the server is gone");
    // The server's last thread closes its end a moment after its first.
    await until(async () => {
      const info = await run([QTFS, "info", `${before[1]}`]);
      return /none: it waits for one\n(.*\n)* {2}streams +\d/.test(info.stdout);
    }, "the bridge says that it has no server");
    server = await world.server([tree], server.address.slice("unix://".length));
    expect(await said([meet, "call", path, "stream"])).toContain("heard bye");
    expect(await holding.line()).toBe(`heard ${MANY_BYTES} bytes`);
    expect([inode(), await bridgePid()]).toEqual(before);
  });

  test("the bridge is killed: its streams end, the socket is served again", async () => {
    const holding = await hold();
    const bridge = await bridgePid();
    process.kill(bridge, "SIGKILL");
    expect(await holding.line()).not.toBe(`heard ${MANY_BYTES} bytes`);
    await calls();
    expect(await bridgePid()).not.toBe(bridge);
  });
});

test("nothing is left of a mount that is unmounted", async () => {
  const twins = await twinsPid();
  expect(await world.umount(mount.target)).toBe(0);
  await world.vanished(mount);
  await until(() => isGone(twins), "the twin process has ended");
  const left = readdirSync("/proc").filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(mount.target);
    } catch {
      return false;
    }
  });
  expect(left.map((pid) => readlinkSync(`/proc/${pid}/exe`))).toEqual([]);
  expect(readdirSync("/run/qtfs/control")).not.toContain(`twins-${twins}.sock`);
});

test("nor of its streams, though its server ends before it has heard", async () => {
  const own = await world.server([tree]);
  const short = await world.mount({ address: own.address }, tree);
  const listener = await Meeting.up([meet, "serve", `${tree}/last`, "stream"]);
  serving.push(listener);
  expect(await said([meet, "call", `${short.target}/last`, "stream"])).toContain("heard bye");
  const { bridgePid: bridge } = await report<ServerReport>(own.pid);
  await listener.end();
  expect(await world.umount(short.target)).toBe(0);
  process.kill(own.pid, "SIGTERM");
  const sinceMs = performance.now();
  await until(() => isGone(bridge), "the bridge has ended");
  expect(performance.now() - sinceMs).toBeLessThan(LEASE_MS / 2);
});

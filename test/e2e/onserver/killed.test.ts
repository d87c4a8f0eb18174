/** Mounts on the HOST while its server is killed and started again: each is there once, or not at all. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { mounts } from "../../../src/info/mountinfo.ts";
import { mountTree, type Share } from "../support/mount.ts";
import { run } from "../support/run.ts";
import { QTFS, type Server, startServer } from "../support/server.ts";

const ROUNDS = 8;
/** The command takes about as long. */
const LATEST_MS = 150;

let share: Share;
let server: Server;

beforeAll(async () => {
  share = await mountTree({ options: ["cache=never"], allow: ["sysmount"] });
  server = share.server as Server;
  for (let i = 0; i < ROUNDS; i++) mkdirSync(`${share.tree}/${i}`);
});
afterAll(async () => {
  for (const { mountpoint } of onHost()) await run(["umount", "--lazy", mountpoint]);
  // What the HOST has no more goes from here a moment later.
  for (let code = 1; code !== 0; ) ({ code } = await run(["umount", share.mountpoint]));
  await server.stop();
  await share.close();
});

const onHost = () => mounts().filter(({ mountpoint }) => mountpoint.startsWith(`${share.tree}/`));

test.each(Array.from({ length: ROUNDS }, (_, i) => i))("round %p", async (round) => {
  const target = `${share.mountpoint}/${round}`;
  const mounting = run([QTFS, "mount", "--on-server", "-t", "tmpfs", "none", target]);
  await Bun.sleep((LATEST_MS * round) / ROUNDS);
  process.kill(server.pid, "SIGKILL");
  server = await startServer(share.tree, `${share.tree}/..`, ["sysmount"]);
  const { code, stderr } = await mounting;
  const there = onHost().filter(({ mountpoint }) => mountpoint === `${share.tree}/${round}`);
  // Where the session is lost with its server nobody can tell, and it says so.
  if (stderr.includes("is not known")) expect(there.length).toBeLessThanOrEqual(1);
  else expect([stderr === "", there.length]).toEqual([code === 0, code === 0 ? 1 : 0]);
});

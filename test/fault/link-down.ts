/**
 * A link that really is down, unlike the proxy's: the server is in a network
 * namespace of its own, whose interface is set down and up again.
 *
 *   bun test/fault/link-down.ts [--times N] [--down MS]        (as root, with ip(8))
 *
 * says how long after the link was up the first call was answered.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { sh } from "../e2e/support/run.ts";
import { nowMs } from "./proxy/clock.ts";
import { QTFS } from "./stage.ts";

const LOOP = new URL("./scenarios/caller-loop.ts", import.meta.url).pathname;
const SETTLED_MS = 700;
const AFTER_MS = 3000;
const { values } = parseArgs({
  options: { times: { type: "string", default: "3" }, down: { type: "string", default: "1000" } },
});
const space = `qtfs-${process.pid}`;
const host = `qh${process.pid}`;
const directory = mkdtempSync("/var/tmp/qtfs-link-down.");
const [tree, mountpoint] = [`${directory}/host`, `${directory}/mnt`];
for (const path of [tree, mountpoint]) mkdirSync(path);
await sh(`ip netns add ${space}
  ip link add ${host} type veth peer name inner netns ${space}
  ip addr add 10.213.7.1/24 dev ${host}; ip link set ${host} up
  ip -n ${space} addr add 10.213.7.2/24 dev inner; ip -n ${space} link set inner up`);
const address = "tcp://10.213.7.2:7000";
const words = ["server", "--listen", address, "--insecure", "--export", tree];
const server = Bun.spawn(["ip", "netns", "exec", space, QTFS, ...words], {
  stdio: ["ignore", "ignore", "ignore"],
});
try {
  await Bun.sleep(SETTLED_MS);
  await sh(`${QTFS} mount -o server=${address},insecure ${tree} ${mountpoint}`);
  const child = Bun.spawn([process.execPath, LOOP, mountpoint], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ups: number[] = [];
  for (let i = 0; i < Number(values.times); i++) {
    await Bun.sleep(SETTLED_MS);
    await sh(`ip -n ${space} link set inner down`);
    await Bun.sleep(Number(values.down));
    await sh(`ip -n ${space} link set inner up`);
    ups.push(nowMs());
    await Bun.sleep(AFTER_MS);
  }
  child.stdin.end();
  const lines = (await child.stdout.text()).trim().split("\n").slice(1);
  const ends = lines.map((line) => (JSON.parse(line) as { toMs: number }).toMs);
  for (const [i, upMs] of ups.entries()) {
    console.log(
      `down for ${values.down} ms: answered ${Math.round((ends[i] ?? 0) - upMs)} ms after`,
    );
  }
} finally {
  await sh(`umount ${mountpoint} || umount --force --lazy ${mountpoint} || true`);
  server.kill();
  await server.exited;
  await sh(`ip link del ${host}; ip netns del ${space}`);
  rmSync(directory, { recursive: true, force: true });
}

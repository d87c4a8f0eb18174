/** How mounts end, by umount or by signals, and what they leave. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { buildCaller, Caller, eventually, stop } from "./caller.ts";
import { descriptors, mountsAt, World, type WorldServer } from "./world.ts";

const ANSWER_MS = 15_000;
const SETTLED_MS = 1000;

const world = new World();
const tree = world.make("host");
const callers: Caller[] = [];
let program: string;
let server: WorldServer;

beforeAll(async () => {
  program = await buildCaller(world.directory);
  server = await world.server([tree]);
  writeFileSync(`${tree}/file`, Buffer.alloc(1 << 20, "data"));
  // What a server opens once, for its first session, it keeps.
  const first = await world.mount(server, tree);
  await use(first.target);
  await world.umount(first.target);
  await world.vanished(first);
});

afterAll(async () => {
  await Promise.all(callers.map((one) => one.end()));
  await world.close();
});

async function caller(operation: string, path: string): Promise<Caller> {
  const one = new Caller(program, operation, path);
  callers.push(one);
  return await one.ready();
}

/** Does a little of everything, so that there is something to leave behind. */
async function use(target: string): Promise<void> {
  await sh(
    `echo some >a; cat a; mkdir -p d/e; ls -lR; flock a true; ln -sf a l; cat l; head -c 500000 file
     exec 7<a; flock -s 7; exec 8<d; cmp file ${tree}/file; rm -r a d l`,
    { cwd: target },
  );
}

/** The server's number of descriptors, once it has stayed the same for a while. */
async function settled(): Promise<number> {
  let count = -1;
  while (count !== descriptors(server.pid)) {
    count = descriptors(server.pid);
    await Bun.sleep(SETTLED_MS);
  }
  return count;
}

/** Does `work` with the server's number of descriptors looked at before and after. */
async function leavesNoDescriptor(work: () => Promise<void>): Promise<void> {
  const before = await settled();
  await work();
  const same = () => descriptors(server.pid) === before;
  await eventually(same, `the server has ${before} descriptors again`, ANSWER_MS);
}

describe("nothing is left of a mount", () => {
  test("after umount", async () => {
    await leavesNoDescriptor(async () => {
      const mount = await world.mount(server, tree);
      await use(mount.target);
      expect(await world.umount(mount.target)).toBe(0);
      await world.vanished(mount);
    });
  });

  test("after umount -l, once the last file is closed", async () => {
    await leavesNoDescriptor(async () => {
      const mount = await world.mount(server, tree);
      const fd = openSync(`${mount.target}/file`, "r");
      expect(await world.umount(mount.target, "--lazy")).toBe(0);
      expect(mountsAt(mount.target)).toEqual([]);
      const part = Buffer.alloc(4);
      readSync(fd, part, 0, 4, 500_000);
      expect(part.toString()).toBe("data");
      closeSync(fd);
      await world.vanished(mount);
    });
  });

  test.each(["SIGTERM", "SIGINT"] as const)("after %s to its process", async (signal) => {
    await leavesNoDescriptor(async () => {
      const mount = await world.mount(server, tree);
      await use(mount.target);
      process.kill(mount.pid, signal);
      await world.vanished(mount);
    });
  });

  test("after SIGTERM to its process while a file is open", async () => {
    await leavesNoDescriptor(async () => {
      const mount = await world.mount(server, tree);
      const open = await caller("read", `${mount.target}/file`);
      process.kill(mount.pid, "SIGTERM");
      await eventually(() => mountsAt(mount.target).length === 0, "it is unmounted", ANSWER_MS);
      await open.end();
      await world.vanished(mount);
    });
  });

  test("after a mount that failed", async () => {
    const target = world.make("nowhere");
    const address = `unix://${world.directory}/nobody.sock`;
    const { code } = await run([QTFS, "mount", "-o", `server=${address}`, tree, target]);
    expect(code).toBe(1);
    const { stdout } = await run([QTFS, "info", "--json"]);
    expect(stdout).not.toContain(target);
    expect(mountsAt(target)).toEqual([]);
  });
});

test("the doctor: a mount that works, and one whose processes were killed", async () => {
  const mount = await world.mount(server, tree);
  const examined = async () => {
    const { code, stdout } = await run([QTFS, "info", "doctor", "--json"]);
    const { findings } = JSON.parse(stdout) as { findings: { level: string; subject: string }[] };
    const own = findings.filter(({ subject }) => subject === `mount ${mount.target}`);
    return { code, levels: own.map(({ level }) => level) };
  };
  expect((await examined()).levels).toEqual(["ok"]);
  const { stdout } = await run([QTFS, "info", mount.target, "--metrics"]);
  expect(stdout).toContain(`target="${mount.target}"} 1\n`);
  const { daemons } = JSON.parse((await run([QTFS, "info", mount.target, "--json"])).stdout);
  // Stopped, it cannot start another keeper before it is killed itself.
  await stop(mount.pid);
  for (const pid of [daemons[0].keeper, mount.pid]) process.kill(pid, "SIGKILL");
  await eventually(
    async () => (await examined()).levels.join() === "failure",
    "the mount is found to have lost its process",
    ANSWER_MS,
  );
  expect((await examined()).code).toBe(1);
  expect(await world.umount(mount.target, "--lazy")).toBe(0);
});

test("umount of a mount in use says so, and changes nothing", async () => {
  const mount = await world.mount(server, tree);
  const fd = openSync(`${mount.target}/file`, "r");
  expect(await world.umount(mount.target)).toBe(32);
  await use(mount.target);
  closeSync(fd);
  expect(await world.umount(mount.target)).toBe(0);
  await world.vanished(mount);
});

/** `qtfs mount -f` under a service manager with a file descriptor store, which the test is. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { storedMount } from "../../src/cli/store.ts";
import { mounts } from "../../src/info/mountinfo.ts";
import { E } from "../../src/sys/errno.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { recvFds } from "../../src/sys/scm.ts";
import { bindDatagram } from "../sys/datagram.ts";
import { MAIN, qtfs, type Running, scratch, start, until } from "./support.ts";

const directory = scratch();
const address = `unix://${join(directory, "server.sock")}`;
const shared = join(directory, "host");
const target = join(directory, "mnt");
for (const path of [shared, target]) mkdirSync(path);
writeFileSync(join(shared, "file"), "from the HOST\n");
const server = start(
  ["server", "--listen", address, "--export", shared, "--state-dir", join(directory, "state")],
  join(directory, "server.log"),
);
await server.says("Listening");

const room = allocate(1024);
const isMounted = () => mounts().some(({ mountpoint }) => mountpoint === target);
const umount = () => Bun.spawnSync(["umount", "--lazy", target]);
afterAll(() => server.end("SIGKILL"));
process.on("exit", () => {
  // While its device is open and nobody serves it, the mount would wait for ever.
  manager.close();
  if (isMounted()) umount();
});

/** As much of systemd as a mount has to do with. */
class Manager {
  static #serial = 0;
  readonly #socket = join(directory, `notify${Manager.#serial++}`);
  readonly #fd = bindDatagram(this.#socket);
  readonly states: string[] = [];
  readonly stored = new Map<string, number>();

  /** Starts the service, with what is in the store. */
  start(log: string): Running {
    const fds = [...this.stored];
    const script = 'export LISTEN_PID=$$; exec "$@"';
    const words = ["mount", "-f", "-o", `server=${address}`, shared, target];
    writeFileSync(log, "");
    const env = {
      ...process.env,
      NOTIFY_SOCKET: this.#socket,
      FDSTORE: "4",
      LISTEN_FDS: `${fds.length}`,
      LISTEN_FDNAMES: fds.map(([name]) => name).join(":"),
    };
    const child = Bun.spawn(["/bin/sh", "-c", script, "sh", process.execPath, MAIN, ...words], {
      stdio: ["ignore", "ignore", Bun.file(log), ...fds.map(([, fd]) => fd)],
      env,
    });
    process.on("exit", () => child.kill("SIGKILL"));
    const read = () => readFileSync(log, "utf8");
    return {
      pid: child.pid,
      log: read,
      says: (text) => until(() => read().includes(text) || child.exitCode !== null),
      end: async (signal = "SIGTERM") => {
        child.kill(signal);
        await child.exited;
        return child.exitCode;
      },
    };
  }

  /** Takes what the service has told since. */
  listen(): void {
    while (true) {
      const { n, fds } = recvFds(this.#fd, room.address, room.size, 4);
      if (n === -E.EAGAIN) return;
      const lines = room.bytes.toString("utf8", 0, n).split("\n");
      const name = lines.find((line) => line.startsWith("FDNAME="))?.slice("FDNAME=".length) ?? "";
      const [fd] = fds;
      if (lines.includes("FDSTORE=1") && fd !== undefined) this.stored.set(name, fd);
      if (lines.includes("FDSTOREREMOVE=1")) this.drop(name);
      this.states.push(lines.join(" "));
    }
  }

  close(): void {
    for (const name of [...this.stored.keys()]) this.drop(name);
  }

  drop(name: string): void {
    const fd = this.stored.get(name);
    if (fd !== undefined) close(fd);
    this.stored.delete(name);
  }

  /** Waits until the service says that it is ready. */
  async ready(): Promise<void> {
    this.states.length = 0;
    await until(() => {
      this.listen();
      return this.states.includes("READY=1");
    });
  }
}

let manager = new Manager();
beforeEach(() => {
  manager.close();
  manager = new Manager();
});

/**
 * A process that has a file open, and reads it by that and by its name when told
 * to. Not this process: what it starts has such files open until it executes, and
 * to close them waits for the mount's daemon, which is what it starts.
 */
async function reader(path: string) {
  const script = `exec 3<${path}; echo open; read word; cat ${path} - <&3`;
  const child = Bun.spawn(["/bin/sh", "-c", script], { stdin: "pipe", stdout: "pipe" });
  process.on("exit", () => child.kill("SIGKILL"));
  const output = child.stdout.getReader();
  await output.read();
  const read = async () => {
    let said = "";
    for (let part = await output.read(); !part.done; part = await output.read()) {
      said += Buffer.from(part.value).toString();
    }
    return said;
  };
  const go = () => {
    child.stdin.write("go\n");
    child.stdin.end();
    return read();
  };
  return { go };
}

test("the store gets the mount before the service is ready, and loses it when it ends", async () => {
  const service = manager.start(join(directory, "order.log"));
  await manager.ready();
  const names = ["qtfs-fuse", "qtfs-record", "qtfs-channels", "qtfs-twins"];
  expect(manager.states).toEqual([...names.map((name) => `FDSTORE=1 FDNAME=${name}`), "READY=1"]);
  const kinds = names.map((name) => readlinkSync(`/proc/self/fd/${manager.stored.get(name)}`));
  expect(kinds[0]).toBe("/dev/fuse");
  expect(kinds[1]).toStartWith("/memfd:qtfs-mount");
  const { stdout } = await qtfs(["info", target]);
  expect(stdout).toContain("keeper           the service manager, in its file descriptor store\n");
  expect(await service.end()).toBe(0);
  manager.listen();
  expect(manager.stored.size).toBe(0);
  expect(isMounted()).toBe(false);
});

test("a killed service goes on with its mount when it is started again", async () => {
  const service = manager.start(join(directory, "killed.log"));
  await manager.ready();
  const held = await reader(join(target, "file"));
  const before = mounts().filter(({ mountpoint }) => mountpoint === target);
  await service.end("SIGKILL");
  const waiting = held.go();
  const again = manager.start(join(directory, "again.log"));
  await manager.ready();
  expect(await waiting).toBe("from the HOST\nfrom the HOST\n");
  expect(mounts().filter(({ mountpoint }) => mountpoint === target)).toEqual(before);
  expect(JSON.parse((await qtfs(["info", target, "--json"])).stdout).daemons[0]).toMatchObject({
    pid: again.pid,
    inStore: true,
    recovery: { takeovers: 1 },
  });
  expect(await again.end()).toBe(0);
  manager.listen();
  expect(manager.stored.size).toBe(0);
  expect(isMounted()).toBe(false);
});

test("what cannot be taken over is mounted anew", async () => {
  const service = manager.start(join(directory, "other.log"));
  await manager.ready();
  await service.end("SIGKILL");
  // As if another release had left it.
  const record = await open(`/proc/self/fd/${manager.stored.get("qtfs-record")}`, "r+");
  await record.write(Buffer.alloc(8, 1), 0, 8, 0);
  await record.close();
  const again = manager.start(join(directory, "anew.log"));
  await manager.ready();
  expect(again.log()).toContain("Cannot take over a mount of another release");
  expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
  expect(manager.stored.size).toBe(4);
  expect(await again.end()).toBe(0);
  expect(isMounted()).toBe(false);
  manager.listen();
});

test("without a store there is nothing to give", async () => {
  const socket = join(directory, "plain");
  const fd = bindDatagram(socket);
  const words = ["mount", "-f", "-o", `server=${address}`, shared, target];
  const service = start(words, join(directory, "plain.log"), { NOTIFY_SOCKET: socket });
  await service.says("Mounted");
  expect(await service.end()).toBe(0);
  const told: string[] = [];
  for (let n = 1; n > 0; ) {
    n = recvFds(fd, room.address, room.size, 4).n;
    if (n > 0) told.push(room.bytes.toString("utf8", 0, n));
  }
  close(fd);
  expect(told).toEqual(["READY=1", "STOPPING=1"]);
});

describe("descriptors of a service manager", () => {
  const env = { LISTEN_PID: `${process.pid}`, LISTEN_FDS: "3" };

  test("are found by their names, wherever they are", () => {
    const LISTEN_FDNAMES = "qtfs-record:other:qtfs-fuse";
    expect(storedMount({ ...env, LISTEN_FDS: "0", LISTEN_FDNAMES })).toBeUndefined();
    expect(storedMount({ ...env, LISTEN_PID: "1", LISTEN_FDNAMES })).toBeUndefined();
    expect(storedMount({ ...env, LISTEN_FDNAMES })).toEqual({
      fuse: 5,
      record: 3,
      channels: -1,
      twins: -1,
    });
  });

  test("are of no use unless both are there", () => {
    expect(storedMount({ ...env, LISTEN_FDNAMES: "qtfs-record:other" })).toBeUndefined();
    expect(
      storedMount({ ...env, LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b:qtfs-fuse" }),
    ).toBeUndefined();
    expect(storedMount({})).toBeUndefined();
  });
});

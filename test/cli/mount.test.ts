/** `qtfs mount` as processes: what it leaves behind, and what it says when it cannot. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CONTROL_DIRECTORY } from "../../src/info/control.ts";
import { mounts } from "../../src/info/mountinfo.ts";
import { close } from "../../src/sys/open.ts";
import { listenUnix } from "../../src/sys/socket.ts";
import { ok } from "../sys/support.ts";
import { qtfs, type RunOptions, scratch, start, until } from "./support.ts";

const directory = scratch();
const address = `unix://${join(directory, "server.sock")}`;
const shared = join(directory, "host");
const target = join(directory, "mnt");
for (const path of [shared, target]) mkdirSync(path);
writeFileSync(join(shared, "file"), "from the HOST\n");
const server = start(
  ["server", "--listen", address, "--export", shared],
  join(directory, "server.log"),
);
await server.says("Listening");

const mountLine = () => mounts().find(({ mountpoint }) => mountpoint === target);
const umount = () => Bun.spawnSync(["umount", "--lazy", target]);
afterEach(() => {
  if (mountLine() !== undefined) umount();
});
afterAll(() => server.end("SIGKILL"));
process.on("exit", () => mountLine() && umount());

const mount = (options: string, words: string[] = [], run: RunOptions = {}) =>
  qtfs(["mount", "-o", `server=${address},${options}`, ...words, shared, target], run);

interface Daemon {
  pid: number;
  keeper: number;
  readOnly: boolean;
  cache: string;
}

async function daemon(): Promise<Daemon> {
  const { stdout } = await qtfs(["info", target, "--json"]);
  return JSON.parse(stdout).daemons[0];
}

/** Whether the process has ended; nobody may have waited for it yet. */
function hasEnded(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return true;
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** What looks like a mount's process that answers nothing. */
function stoppedDaemon(): { close(): void } {
  const path = join(CONTROL_DIRECTORY, `mount-${process.pid}.sock`);
  const fd = ok(listenUnix(path, 0o600, 8));
  return {
    close: () => {
      close(fd);
      rmSync(path);
    },
  };
}

describe("in the background", () => {
  test("the mount is usable when the command returns, and ends with umount", async () => {
    expect(await mount("rw")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(mountLine()).toMatchObject({ mountpoint: target, type: "fuse.qtfs", source: shared });
    expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
    const { pid } = await daemon();
    expect(Bun.spawnSync(["umount", target]).exitCode).toBe(0);
    await until(() => hasEnded(pid));
    expect((await qtfs(["info", `${pid}`])).code).toBe(1);
  });

  test("its process is a daemon: own session, at /, no terminal, umask 0", async () => {
    await mount("ro,cache=never,fsname=shown");
    const { pid, readOnly, cache } = await daemon();
    expect([readOnly, cache]).toEqual([true, "never"]);
    expect(mountLine()?.source).toBe("shown");
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
    for (const fd of [0, 1, 2]) expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe("/dev/null");
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^Umask:\s+0000$/m);
    const [, , , session] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/.*\) /, "")
      .split(" ");
    expect(Number(session)).toBe(pid);
  });

  test("SIGTERM unmounts", async () => {
    await mount("rw");
    const { pid } = await daemon();
    process.kill(pid, "SIGTERM");
    await until(() => hasEnded(pid));
    expect(mountLine()).toBeUndefined();
  });

  test("its log is kept in memory, and appended to a file if one is named", async () => {
    await mount("rw", ["--log-file", "mount.log", "--log-level", "debug"], { cwd: directory });
    const { stdout } = await qtfs(["info", target, "--log"]);
    expect(stdout).toContain(`Mounted ${shared} at ${target}\n`);
    expect(readFileSync(join(directory, "mount.log"), "utf8")).toContain(stdout);
  });

  test("a relative target, and one behind a symlink, are resolved", async () => {
    symlinkSync("mnt", join(directory, "link"));
    const words = ["mount", "-o", `server=${address}`, shared, "./link"];
    expect((await qtfs(words, { cwd: directory })).code).toBe(0);
    expect(mountLine()?.type).toBe("fuse.qtfs");
    expect((await qtfs(["info", "mnt/file"], { cwd: directory })).code).toBe(0);
  });

  test("a mount of another directory at the same place is refused", async () => {
    await mount("rw");
    const words = ["mount", "-o", `server=${address}`, join(shared, "other"), target];
    const { code, stderr } = await qtfs(words);
    expect(stderr).toBe(
      `qtfs mount: Cannot mount at ${target}: it is busy, ${shared} is mounted there (umount ${target})\n`,
    );
    expect(code).toBe(1);
  });

  test("the same command again, and --takeover, give the mount another process", async () => {
    await mount("rw");
    let { pid } = await daemon();
    for (const words of [[], ["--takeover"]]) {
      expect(await mount("rw", words)).toEqual({ code: 0, stdout: "", stderr: "" });
      const before = pid;
      ({ pid } = await daemon());
      expect(pid).not.toBe(before);
      await until(() => hasEnded(before));
      expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
    }
  });

  test("nothing is taken over where nothing is mounted", async () => {
    const { code, stderr } = await mount("rw", ["--takeover"]);
    expect(stderr).toBe(`qtfs mount: Cannot take over ${target}: no qtfs mount is there\n`);
    expect(code).toBe(1);
    expect(mountLine()).toBeUndefined();
  });

  test("a killed process is replaced; without its keeper too it is noticed, and mounted over", async () => {
    await mount("rw");
    const { pid, keeper } = await daemon();
    process.kill(pid, "SIGKILL");
    expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
    await until(() => existsSync(join(CONTROL_DIRECTORY, `mount-${keeper}.sock`)));
    const next = await daemon();
    expect(next.pid).toBe(keeper);
    // So that it does not start another.
    process.kill(next.pid, "SIGSTOP");
    for (const one of [next.keeper, next.pid]) {
      process.kill(one, "SIGKILL");
      await until(() => hasEnded(one));
    }
    // Another mount's, which might be this one's for all that it says.
    const stopped = stoppedDaemon();
    const { code, stderr } = await qtfs(["info", target]);
    stopped.close();
    expect(stderr).toContain(`has lost its process: "umount -l ${target}" removes it`);
    expect(code).toBe(1);
    expect(await mount("rw")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(mounts().filter(({ mountpoint }) => mountpoint === target)).toHaveLength(1);
    expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
  });

  test("mount.qtfs does the same", async () => {
    const words = [shared, target, "-v", "-o", `rw,nosuid,nodev,server=${address},_netdev`];
    const { code, stdout } = await qtfs(words, { argv0: "mount.qtfs" });
    expect([code, stdout]).toEqual([0, `mount.qtfs: ${shared} is mounted at ${target}\n`]);
    expect(mountLine()?.type).toBe("fuse.qtfs");
  });
});

describe("in the foreground", () => {
  test("it stays, logs to stderr and unmounts on SIGINT", async () => {
    const words = ["mount", "-f", "-o", `server=${address}`, shared, target];
    const running = start(words, join(directory, "foreground.log"));
    await running.says("Mounted");
    expect(await readFile(join(target, "file"), "utf8")).toBe("from the HOST\n");
    expect(await running.end("SIGINT")).toBe(0);
    expect(mountLine()).toBeUndefined();
    expect(running.log()).toContain(`${target} is unmounted`);
  });

  test("it ends when the mount is taken away", async () => {
    const words = ["mount", "-f", "-o", `server=${address}`, shared, target];
    const running = start(words, join(directory, "foreground.log"));
    await running.says("Mounted");
    expect(Bun.spawnSync(["umount", target]).exitCode).toBe(0);
    await running.says("is unmounted");
    expect(await running.end()).toBe(0);
  });
});

describe("what cannot be mounted", () => {
  test.each([
    [["-o", "server=unix:///no/such.sock"], shared, "No server listens at unix:///no/such.sock"],
    [["-o", `server=${address}`], "/etc", "Cannot mount /etc"],
    [["-o", `server=${address}`], join(shared, "none"), "none"],
    [["-o", "server=tcp://127.0.0.1:9"], shared, "add the option insecure"],
  ])("%p %p: one sentence, in both grounds", async (options, source, sentence) => {
    for (const ground of [[], ["-f"]]) {
      const { code, stdout, stderr } = await qtfs(["mount", ...ground, ...options, source, target]);
      expect(stderr).toContain(sentence);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect([code, stdout]).toEqual([1, ""]);
    }
    expect(mountLine()).toBeUndefined();
  });

  test("a server that is silent is given up", async () => {
    const path = join(directory, "silent.sock");
    const silent = Bun.listen({ unix: path, socket: { data() {} } });
    const words = ["mount", "-o", `server=unix://${path},timeout=0.3`, shared, target];
    const { code, stderr } = await qtfs(words);
    silent.stop(true);
    expect(stderr).toContain("does not answer");
    expect(code).toBe(1);
  });

  test("a signal ends the wait for a silent server, also in the background", async () => {
    const path = join(directory, "silent2.sock");
    const { promise: connected, resolve } = Promise.withResolvers<void>();
    const silent = Bun.listen({ unix: path, socket: { open: () => resolve(), data() {} } });
    const words = ["mount", "-o", `server=unix://${path},timeout=50`, shared, target];
    const waiting = start(words, join(directory, "waiting.log"));
    await connected;
    expect(await waiting.end("SIGTERM")).toBe(1);
    silent.stop(true);
    expect(waiting.log()).toContain("ended before it was ready");
  });
});

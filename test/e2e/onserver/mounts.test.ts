/** `qtfs mount --on-server` and `qtfs umount --on-server`: the HOST mounts, and it is seen here. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mounts } from "../../../src/info/mountinfo.ts";
import { mountTree, type Share } from "../support/mount.ts";
import { type Result, run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

let share: Share;
/** The same directory on the HOST and through the mount. */
let host: string;
let here: string;

beforeAll(async () => {
  share = await mountTree({ allow: ["sysmount"] });
  host = share.tree;
  here = share.mountpoint;
  const names = ["tmp", "at", "other", "source", "upper", "work", "lower/a", "lower/b"];
  for (const name of names) mkdirSync(`${host}/${name}`, { recursive: true });
  writeFileSync(`${host}/source/file`, "bound\n");
  writeFileSync(`${host}/lower/a/from-a`, "a\n");
  writeFileSync(`${host}/lower/b/from-b`, "b\n");
  symlinkSync(`${here}/tmp`, `${share.bare}/link`);
});
afterEach(async () => {
  for (const line of onHost().reverse()) await run(["umount", "--lazy", line.mountpoint]);
});
afterAll(() => share.close());

const onHost = () => mounts().filter(({ mountpoint }) => mountpoint.startsWith(`${host}/`));
const mount = (...words: string[]) => run([QTFS, "mount", "--on-server", ...words]);
const umount = (...words: string[]) => run([QTFS, "umount", "--on-server", ...words]);

async function done(result: Promise<Result>): Promise<void> {
  expect(await result).toEqual({ code: 0, stdout: "", stderr: "" });
}

async function refused(result: Promise<Result>, text: string, code = 1): Promise<void> {
  const { stderr, ...rest } = await result;
  expect({ ...rest, says: stderr.includes(text) || stderr }).toEqual({
    code,
    stdout: "",
    says: true,
  });
}

test("a tmpfs of the HOST's: what is written here is on it, and gone with it", async () => {
  await done(mount("-t", "tmpfs", "-o", "size=8m,noexec,nosuid", "its name", `${here}/tmp`));
  expect(onHost()).toMatchObject([
    { mountpoint: `${host}/tmp`, type: "tmpfs", source: "its name" },
  ]);
  writeFileSync(`${here}/tmp/file`, "from the DPU\n");
  expect(readFileSync(`${host}/tmp/file`, "utf8")).toBe("from the DPU\n");
  expect((await sh(`df --output=size -B1M ${host}/tmp | tail -1`)).trim()).toBe("8");
  await done(umount(`${here}/tmp`));
  expect(onHost()).toEqual([]);
  expect(readdirSync(`${here}/tmp`)).toEqual([]);
});

test("a target is found through symbolic links and from any working directory", async () => {
  await done(mount("-t", "tmpfs", "none", `${share.bare}/link`));
  await done(run([QTFS, "umount", "--on-server", "tmp"], { cwd: here }));
  expect(onHost()).toEqual([]);
});

test("a bind that is read only refuses writes from here", async () => {
  await done(run([QTFS, "mount", "--on-server", "-o", "bind,ro", "source", "at"], { cwd: here }));
  expect(readFileSync(`${here}/at/file`, "utf8")).toBe("bound\n");
  const { code, stderr } = await run(["touch", `${here}/at/new`]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("Read-only file system")]);
  await done(mount("-o", "remount,bind,rw", "none", `${here}/at`));
  writeFileSync(`${host}/at/new`, "");
  expect(existsSync(`${host}/source/new`)).toBe(true);
});

test("rbind takes what is mounted below along, move moves it all", async () => {
  mkdirSync(`${host}/source/below`);
  await done(mount("-t", "tmpfs", "none", `${here}/source/below`));
  await done(mount("-o", "rbind", `${here}/source`, `${here}/at`));
  expect(onHost().map(({ mountpoint }) => mountpoint.slice(host.length))).toEqual([
    "/source/below",
    "/at",
    "/at/below",
  ]);
  await done(mount("-o", "ro=recursive", "none", `${here}/at`));
  const { code } = await run(["touch", `${host}/at/below/new`]);
  expect(code).toBe(1);
  await done(run(["touch", `${host}/source/below/new`]));
  await done(mount("-o", "rprivate", "none", `${here}/at`));
  await done(mount("-o", "move", `${here}/at`, `${here}/other`));
  expect(onHost().map(({ mountpoint }) => mountpoint.slice(host.length))).toEqual([
    "/source/below",
    "/other",
    "/other/below",
  ]);
});

test("an overlay's directories are those of the mount", async () => {
  const options = `lowerdir=${here}/lower/a:${here}/lower/b,upperdir=${here}/upper,workdir=${here}/work`;
  await done(mount("-t", "overlay", "-o", options, "overlay", `${here}/at`));
  expect(readdirSync(`${here}/at`).sort()).toEqual(["from-a", "from-b"]);
  writeFileSync(`${here}/at/new`, "up\n");
  expect(readFileSync(`${host}/upper/new`, "utf8")).toBe("up\n");
  const info = readFileSync("/proc/self/mountinfo", "utf8");
  expect(info).toContain(`lowerdir=${host}/lower/a:${host}/lower/b,upperdir=${host}/upper`);
});

test("a busy one stays until it is taken away lazily", async () => {
  await done(mount("-t", "tmpfs", "none", `${here}/tmp`));
  const user = Bun.spawn(["sleep", "300"], { cwd: `${host}/tmp` });
  await refused(umount(`${here}/tmp`), "Device or resource busy");
  await done(umount("--lazy", `${here}/tmp`));
  user.kill("SIGKILL");
  await refused(umount(`${here}/tmp`), "Invalid argument");
});

test("what cannot be is said in one sentence", async () => {
  await refused(
    mount("-t", "nosuch", "none", `${here}/tmp`),
    "No such device: it knows no type nosuch",
  );
  await refused(mount("-t", "tmpfs", "none", `${here}/nowhere`), "No such file or directory");
  await refused(mount("-t", "tmpfs", "none", share.bare), "is not on a mount of qtfs");
  await refused(
    mount("-o", "bind", "/etc", `${here}/tmp`),
    "/etc on the HOST: it is not on the same",
  );
  await refused(mount("-o", "ro", "none", `${here}/tmp`), "say what to mount", 2);
  await refused(umount(here), "is the mount of qtfs itself");
  expect(onHost()).toEqual([]);
});

test("an ordinary user is refused", async () => {
  const words = [QTFS, "mount", "--on-server", "-t", "tmpfs", "none", `${here}/tmp`];
  await refused(run(words, { uid: 65534 }), "Only root (CAP_SYS_ADMIN)");
  expect(onHost()).toEqual([]);
});

test("so is everybody where the export does not allow it", async () => {
  const strict = await mountTree();
  try {
    mkdirSync(`${strict.tree}/tmp`);
    await refused(
      mount("-t", "tmpfs", "none", `${strict.mountpoint}/tmp`),
      `Operation not permitted (does the server allow it: qtfs server --export ${strict.tree}:rw,sysmount?)`,
    );
    await refused(umount(`${strict.mountpoint}/tmp`), "Operation not permitted");
  } finally {
    await strict.close();
  }
});

test("qtfs info shows what an export allows; qtfs umount ends a mount", async () => {
  const { stdout } = await run([QTFS, "info", `${share.server?.pid}`]);
  expect(stdout).toContain(`${host} (read and write, sysmount)`);
  await done(run([QTFS, "umount", here]));
  expect(mounts().some(({ mountpoint }) => mountpoint === here)).toBe(false);
});

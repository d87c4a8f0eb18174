/** What the HOST mounts below a shared directory is there on the client: at once, and as mounts of their own. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import type { MountReport } from "../../../src/info/report.ts";
import { run, sh } from "../support/run.ts";
import { eventually, isGone } from "./caller.ts";
import { mountsAt, report, World, type WorldMount, type WorldServer } from "./world.ts";

const APPEARS_MS = 20_000;

const world = new World();
const tree = world.make("host");
let server: WorldServer;
let mount: WorldMount;

beforeAll(async () => {
  mkdirSync(`${tree}/covered`);
  writeFileSync(`${tree}/covered/below`, "below");
  for (const name of ["a", "b", "c", "lower", "upper", "work", "merged", "source", "odd \\ name"]) {
    mkdirSync(`${tree}/${name}`);
  }
  writeFileSync(`${tree}/lower/file`, "lower");
  writeFileSync(`${tree}/source/file`, "source");
  writeFileSync(`${tree}/target`, "target");
  server = await world.server([tree]);
  mount = await world.mount(server, tree);
});

/** Mountpoints below `directory`, the deepest first. */
function below(directory: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const points = lines.map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "));
  return points
    .map((point) => point.replaceAll("\\134", "\\"))
    .filter((point) => point.startsWith(`${directory}/`))
    .reverse();
}

afterEach(async () => {
  for (const point of below(tree)) await run(["umount", "-l", point]);
  await eventually(() => below(mount.target).length === 0, "all is unmounted here", APPEARS_MS);
});

afterAll(async () => {
  for (const point of below(tree)) await run(["umount", "-l", point]);
  await world.close();
});

const here = (name: string) => `${mount.target}/${name}`;
const isMounted = (path: string) =>
  mountsAt(path.replaceAll("\\", "\\134").replaceAll(" ", "\\040")).length > 0;

async function appears(...names: string[]): Promise<void> {
  for (const name of names) {
    await eventually(() => isMounted(here(name)), `${name} is mounted here`, APPEARS_MS);
  }
}

async function vanishes(...names: string[]): Promise<void> {
  for (const name of names) {
    await eventually(() => !isMounted(here(name)), `${name} is not mounted here`, APPEARS_MS);
  }
}

async function onHost(...command: string[]): Promise<number> {
  return (await run(command)).code;
}

test("a file system appears with its own device, and goes", async () => {
  expect(readFileSync(here("covered/below"), "utf8")).toBe("below");
  const before = statSync(here("covered"));
  await sh(`mount -t tmpfs qtfs-test ${tree}/covered; echo data >${tree}/covered/file`);
  await appears("covered");
  expect(readdirSync(here("covered"))).toEqual(["file"]);
  expect(readFileSync(here("covered/file"), "utf8")).toBe("data\n");
  expect(statSync(here("covered")).dev).not.toBe(statSync(mount.target).dev);
  expect((await run(["mountpoint", "-q", here("covered")])).code).toBe(0);
  const { stdout } = await run(["findmnt", "-no", "FSTYPE,TARGET", here("covered")]);
  expect(stdout).toBe(`fuse.qtfs ${here("covered")}\n`);
  writeFileSync(here("covered/made here"), "by the client");
  expect(readFileSync(`${tree}/covered/made here`, "utf8")).toBe("by the client");
  expect(await onHost("umount", `${tree}/covered`)).toBe(0);
  await vanishes("covered");
  expect(readFileSync(here("covered/below"), "utf8")).toBe("below");
  const after = statSync(here("covered"));
  expect([after.ino, after.dev]).toEqual([before.ino, before.dev]);
});

test("binds, of directories and of a file, an overlay, proc, and mounts on mounts", async () => {
  await sh(
    `mount --bind source a
     mount --bind source/file target
     mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
     mount -t proc proc b
     mount -t tmpfs qtfs-test c; mkdir -p c/d/e; mount -t tmpfs inner c/d; mkdir c/d/f
     mount -t tmpfs odd 'odd \\ name'`,
    { cwd: tree },
  );
  await appears("a", "target", "merged", "b", "c", "c/d", "odd \\ name");
  expect(readFileSync(here("a/file"), "utf8")).toBe("source");
  expect(readFileSync(here("target"), "utf8")).toBe("source");
  expect(readFileSync(here("merged/file"), "utf8")).toBe("lower");
  expect(readFileSync(here(`b/${process.pid}/comm`))).toEqual(
    readFileSync(`/proc/${process.pid}/comm`),
  );
  expect(readdirSync(here("c/d"))).toEqual(["f"]);
  writeFileSync(here("merged/file"), "written here");
  expect(readFileSync(`${tree}/upper/file`, "utf8")).toBe("written here");
  const { submounts } = await report<MountReport>(mount.pid);
  expect(submounts.map(({ path, type }) => `${path} ${type}`).sort()).toEqual(
    [
      ["a", statfsType(tree)],
      ["b", "proc"],
      ["c", "tmpfs"],
      ["c/d", "tmpfs"],
      ["merged", "overlay"],
      ["odd \\ name", "tmpfs"],
      ["target", statfsType(tree)],
    ].map((words) => words.join(" ")),
  );
  expect(await onHost("umount", "-R", `${tree}/c`)).toBe(0);
  await vanishes("c/d", "c");
  expect(await onHost("umount", `${tree}/target`)).toBe(0);
  await vanishes("target");
  expect(readFileSync(here("target"), "utf8")).toBe("target");
});

/** Type of the file system that the test's directory is on, as mountinfo has it. */
function statfsType(path: string): string {
  const { stdout } = Bun.spawnSync(["findmnt", "-no", "FSTYPE", "--target", path]);
  return stdout.toString().trim();
}

test("a read-only mount is so here too, and one in the way stays in the way", async () => {
  await sh(`mount -t tmpfs -o ro,noexec qtfs-test ${tree}/a; mount -t tmpfs two ${tree}/a`);
  await sh(`touch ${tree}/a/file`);
  await eventually(() => existsSync(here("a/file")), "the second is here", APPEARS_MS);
  expect(await onHost("umount", `${tree}/a`)).toBe(0);
  const options = () => mountsAt(here("a"))[0]?.split(" ")[5] ?? "";
  await eventually(() => options().includes("noexec"), "the first is here", APPEARS_MS);
  expect(() => writeFileSync(here("a/file"), "")).toThrow("EROFS");
});

/** Whether the server has a descriptor of the HOST's mount at `point`. */
function isHeld(point: string): boolean {
  const id = mountsAt(point).at(-1)?.split(" ")[0];
  const { stdout } = Bun.spawnSync(["grep", "-hsr", "mnt_id", `/proc/${server.pid}/fdinfo`]);
  return stdout.toString().split("\n").includes(`mnt_id:\t${id}`);
}

test("what the HOST allows later is allowed here, and the other way round", async () => {
  await sh(`mount -t tmpfs -o ro qtfs-test ${tree}/a`);
  await appears("a");
  expect(() => writeFileSync(here("a/file"), "")).toThrow("EROFS");
  const options = () => mountsAt(here("a"))[0]?.split(" ")[5] ?? "";
  await sh(`mount -o remount,bind,rw,noexec ${tree}/a; mount -o remount,rw ${tree}/a`);
  await eventually(
    () => options().startsWith("rw") && options().includes("noexec"),
    "it may be written to",
    APPEARS_MS,
  );
  writeFileSync(here("a/file"), "");
  await sh(`mount -o remount,bind,ro ${tree}/a`);
  await eventually(() => options().startsWith("ro"), "it may only be read", APPEARS_MS);
  expect(() => writeFileSync(here("a/other"), "")).toThrow("EROFS");
});

test("the HOST's umount fails while a file is open here, and not for having been walked here", async () => {
  await sh(
    `mount -t tmpfs qtfs-test ${tree}/a; mkdir -p ${tree}/a/x/y; echo data >${tree}/a/x/file`,
  );
  await appears("a");
  await sh(`find ${here("a")} -ls >/dev/null; cat ${here("a/x/file")}`);
  const fd = openSync(here("a/x/file"), "r");
  // It is not for a short look at a file.
  await eventually(() => isHeld(`${tree}/a`), "the server holds it", APPEARS_MS);
  expect(await onHost("umount", `${tree}/a`)).toBe(32);
  expect(readFileSync(here("a/x/file"), "utf8")).toBe("data\n");
  closeSync(fd);
  // close(2) does not wait for the server to hear of it.
  let code = 32;
  await eventually(
    () => {
      code = Bun.spawnSync(["umount", `${tree}/a`], { stderr: "ignore" }).exitCode;
      return code === 0;
    },
    "it can be unmounted",
    APPEARS_MS,
  );
  await vanishes("a");
});

test("who has a file open goes on with it after a lazy umount", async () => {
  await sh(`mount -t tmpfs qtfs-test ${tree}/a; echo data >${tree}/a/file`);
  await appears("a");
  const fd = openSync(here("a/file"), "r+");
  expect(await onHost("umount", "-l", `${tree}/a`)).toBe(0);
  await vanishes("a");
  expect(writeSync(fd, "more", 0)).toBe(4);
  const found = Buffer.alloc(5);
  readSync(fd, found, 0, 5, 0);
  expect(found.toString()).toBe("more\n");
  closeSync(fd);
});

test("what somebody unmounts here stays unmounted, until the HOST mounts there again", async () => {
  await sh(`mount -t tmpfs qtfs-test ${tree}/a`);
  await appears("a");
  expect(await world.umount(here("a"))).toBe(0);
  await sh(`mount -t tmpfs other ${tree}/b`);
  await appears("b");
  expect(isMounted(here("a"))).toBe(false);
  await sh(`umount ${tree}/a; mount -t tmpfs again ${tree}/a; touch ${tree}/a/again`);
  await appears("a");
  expect(readdirSync(here("a"))).toEqual(["again"]);
});

test("they outlive the process that serves them, with what is open on them", async () => {
  await sh(`mount -t tmpfs qtfs-test ${tree}/a; echo data >${tree}/a/file; mkdir ${tree}/a/b`);
  await sh(`mount -t tmpfs inner ${tree}/a/b`);
  await appears("a", "a/b");
  const devices = [here("a"), here("a/b")].map((path) => statSync(path).dev);
  const fd = openSync(here("a/file"), "r");
  for (let death = 0; death < 2; death++) {
    mount = await world.killed(mount);
    const found = Buffer.alloc(4);
    readSync(fd, found, 0, 4, 0);
    expect(found.toString()).toBe("data");
    writeFileSync(here(`a/b/file${death}`), "");
    expect(existsSync(`${tree}/a/b/file${death}`)).toBe(true);
  }
  expect([here("a"), here("a/b")].map((path) => statSync(path).dev)).toEqual(devices);
  closeSync(fd);
  await sh(`mount -t tmpfs other ${tree}/b; umount ${tree}/a/b`);
  await appears("b");
  await vanishes("a/b");
});

test("they outlive the server, and what the HOST mounts meanwhile appears", async () => {
  await sh(`mount -t tmpfs qtfs-test ${tree}/a; echo data >${tree}/a/file`);
  await appears("a");
  const fd = openSync(here("a/file"), "r");
  process.kill(server.pid, "SIGKILL");
  await eventually(() => isGone(server.pid), "the server is gone", APPEARS_MS);
  await sh(`mount -t tmpfs other ${tree}/b`);
  server = await world.server([tree], server.address.slice("unix://".length));
  const found = Buffer.alloc(4);
  readSync(fd, found, 0, 4, 0);
  expect(found.toString()).toBe("data");
  closeSync(fd);
  await appears("b");
  expect(readFileSync(here("a/file"), "utf8")).toBe("data\n");
});

test("flat: they are directories of the one file system", async () => {
  await sh(`mount -t tmpfs qtfs-test ${tree}/a; touch ${tree}/a/file`);
  const flat = await world.mount(server, tree, ["flat"]);
  expect(readdirSync(`${flat.target}/a`)).toEqual(["file"]);
  expect(statSync(`${flat.target}/a`).dev).toBe(statSync(flat.target).dev);
  expect(await world.umount(flat.target)).toBe(0);
  await world.vanished(flat);
});

test("all go with the mount: by umount -R, and by SIGTERM", async () => {
  await sh(
    `mount -t tmpfs qtfs-test ${tree}/a; mkdir ${tree}/a/b; mount -t tmpfs inner ${tree}/a/b`,
  );
  for (const end of ["umount", "SIGTERM"] as const) {
    const one = await world.mount(server, tree);
    await eventually(() => isMounted(`${one.target}/a/b`), "all are here", APPEARS_MS);
    expect(await world.umount(one.target)).toBe(32);
    if (end === "umount") expect(await world.umount(one.target, "--recursive")).toBe(0);
    else process.kill(one.pid, end);
    await world.vanished(one);
    expect(below(one.target)).toEqual([]);
  }
});

/**
 * Descriptors of a process that are open on files and on /dev/fuse, of which each superblock
 * has one; its threads have others, and are started when they are needed. The directories that
 * are mounted on are the server's to keep open.
 */
function filesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return !/^(anon_inode|socket|pipe):|^\/proc\/|^\/[abc]$/.test(target);
    } catch {
      return false;
    }
  }).length;
}

test("1,000 mounts and unmounts while four clients walk: no wrong content, and nothing is left", async () => {
  const clients = [mount];
  while (clients.length < 4) clients.push(await world.mount(server, tree));
  const now = () => [server, ...clients].map(({ pid }) => filesOf(pid));
  const before = now();
  const script = `
    while (1) {
      for my $d (qw(a b c)) {
        opendir(my $h, "$ARGV[0]/$d") or next;
        my @n = grep { !/^\\.\\.?$/ } readdir($h);
        print "wrong: $d has @n\\n" if grep { $_ ne "in-$d" } @n;
        open(my $f, "<", "$ARGV[0]/$d/in-$d") or next;
        my $t = <$f>;
        print "wrong: $d/in-$d says $t\\n" if defined $t && $t ne "$d\\n";
      }
    }`;
  const walkers = clients.map(({ target }) =>
    Bun.spawn(["perl", "-e", script, target], { stdout: "pipe", stderr: "ignore" }),
  );
  try {
    await sh(
      `for i in $(seq 334); do
         for d in a b c; do
           [ $(((i + 1) * 7 % 3)) = 0 ] && mount -t tmpfs -o size=64k t$i $d || mount --bind keep-$d $d
           [ -e $d/in-$d ] || echo $d >$d/in-$d
         done
         for d in c b a; do umount $d || umount -l $d; done
       done`.replace(/^/, "mkdir -p keep-a keep-b keep-c; "),
      { cwd: tree, timeoutMs: 240_000 },
    );
  } finally {
    for (const walker of walkers) walker.kill("SIGKILL");
  }
  const said = await Promise.all(walkers.map((walker) => new Response(walker.stdout).text()));
  expect(said.join("")).toBe("");
  const left = () => clients.flatMap(({ target }) => below(target));
  await eventually(() => left().length === 0, "nothing is mounted here", APPEARS_MS);
  await eventually(
    () => now().every((n, i) => n <= (before[i] as number)),
    "nothing is left",
    APPEARS_MS,
  ).catch(() => expect(now()).toEqual(before));
  for (const one of clients.slice(1)) {
    expect(await world.umount(one.target)).toBe(0);
    await world.vanished(one);
  }
}, 300_000);

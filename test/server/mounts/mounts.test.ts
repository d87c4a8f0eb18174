/** The HOST's mounts as trees of their own: what is told of them, and what holds them. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { E } from "../../../src/sys/errno.ts";
import {
  MNT_DETACH,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REMOUNT,
} from "../../../src/sys/mount.ts";
import { FileType, MountFlag, OpenFlag, Policy } from "../../../src/wire/constants.ts";
import { Event, Oneway } from "../../../src/wire/ops.ts";
import { attributesOf, entryOf } from "../../support/attributes.ts";
import type { RawClient } from "../../support/client.ts";
import {
  bind,
  type Listed,
  listMounts,
  mount,
  mountPrivate,
  run,
  umount,
  umountBelow,
} from "../../support/hostmounts.ts";
import { settle, TestServer, until } from "../../support/server.ts";

const CALLER = [0o022, 0, 0, -1] as const;

let server: TestServer;
let client: RawClient;

const at = (name: string) => server.path(name);
const look = (parent: number, name: string) => entryOf(client.ok("LOOKUP", parent, name));
const rootOf = (mounted: Listed) => entryOf(client.ok("MOUNT_ROOT", mounted.mount));

/** The mounts there are once `condition` holds for them. */
function mountsWhen(condition: (mounts: Listed[]) => boolean, of = client): Listed[] {
  let { mounts } = listMounts(of);
  while (!condition(mounts)) {
    of.pump(() => of.events.some(([event]) => event === Event.MOUNTS) || of.closed);
    of.events.length = 0;
    mounts = listMounts(of).mounts;
  }
  return mounts;
}

/** The mount at `path`, once there is one. */
function mounted(path: string): Listed {
  const found = mountsWhen((all) => all.some((one) => one.path === path));
  return found.find((one) => one.path === path) as Listed;
}

const none = () => mountsWhen((all) => all.length === 0);

/** Descriptors of the server once the clients of other tests have gone. */
async function descriptorsAlone(): Promise<number> {
  await until(async () => (await server.snapshot()).totals.sessions === 1, "others have gone");
  return server.descriptors();
}

function tmpfs(name: string, flags = 0): void {
  mkdirSync(at(name), { recursive: true });
  expect(mount("tmpfs", at(name), flags)).toBe(0);
}

beforeAll(async () => {
  server = await TestServer.start({ prepare: ({ share }) => mountPrivate(share) });
});
beforeEach(() => {
  client = server.client(server.share, true);
});
afterEach(() => {
  server.hangUp();
  for (const name of readdirSync(server.share)) umountBelow(at(name));
  run("find", server.share, "-mindepth", "1", "-delete");
});
afterAll(async () => {
  umountBelow(server.share);
  expect(await server.stop()).toBe(0);
});

test("what is mounted does not show in the tree around it, and changes no node of it", () => {
  mkdirSync(at("m"));
  writeFileSync(at("m/covered"), "");
  const before = look(client.root, "m");
  tmpfs("m");
  writeFileSync(at("m/new"), "");
  mounted("m");
  const during = look(client.root, "m");
  expect([during.node, during.ino]).toEqual([before.node, before.ino]);
  expect(client.errno("LOOKUP", during.node, "new")).toBe(E.ENOENT);
  expect(look(during.node, "covered").mode & FileType.MASK).toBe(FileType.REGULAR);
  expect(umount(at("m"))).toBe(0);
  none();
  expect(look(client.root, "m").node).toBe(before.node);
});

test("a flat session is told of no mounts and goes on to cross them", () => {
  tmpfs("m");
  writeFileSync(at("m/new"), "");
  const flat = server.client();
  expect(listMounts(flat).mounts).toEqual([]);
  const { node } = entryOf(flat.ok("LOOKUP", flat.root, "m"));
  expect(flat.errno("LOOKUP", node, "new")).toBe(0);
  expect(flat.errno("MOUNT_ROOT", 1)).toBe(E.ENOENT);
  expect(flat.errno("MOUNT_END", 1)).toBe(0);
});

test("a mount is described: where, on what, how, and what it is", () => {
  tmpfs("a", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME);
  tmpfs("a/b c", MS_RDONLY);
  const [outer, inner] = mountsWhen((all) => all.length === 2) as [Listed, Listed];
  expect(outer).toMatchObject({ parent: 0, path: "a", type: "tmpfs", source: "test" });
  const { NOSUID, NODEV, NOEXEC, NOATIME, RELATIME, RDONLY } = MountFlag;
  expect(outer.flags).toBe(NOSUID | NODEV | NOEXEC | NOATIME);
  expect(outer.rootType).toBe(FileType.DIRECTORY);
  const { dev } = statSync(at("a"));
  expect(outer.device).toBe((((dev >> 8) & 0xfff) << 20) | (dev & 0xff) | ((dev >>> 12) & 0xfff00));
  expect(inner).toMatchObject({ parent: outer.mount, path: "a/b c", flags: RDONLY | RELATIME });
  expect(inner.mount).not.toBe(outer.mount);
});

test("names of any bytes, and files as mountpoints", () => {
  for (const name of ["a b", "line\nfeed", "back\\slash", "tab\t", "\\040", "ü"]) {
    tmpfs(name);
  }
  writeFileSync(at("file"), "below");
  writeFileSync(at("other"), "above");
  run("mkfifo", at("fifo"));
  writeFileSync(at("pipe"), "");
  expect(bind(at("other"), at("file"))).toBe(0);
  expect(bind(at("fifo"), at("pipe"))).toBe(0);
  const mounts = mountsWhen((all) => all.length === 8);
  const names = mounts.map(({ path }) => path).sort();
  const wanted = ["a b", "line\nfeed", "back\\slash", "tab\t", "\\040", "ü", "file", "pipe"];
  expect(names).toEqual(wanted.sort());
  const type = (path: string) => mounts.find((one) => one.path === path)?.rootType;
  expect([type("ü"), type("file"), type("pipe")]).toEqual([
    FileType.DIRECTORY,
    FileType.REGULAR,
    FileType.FIFO,
  ]);
  const file = rootOf(mounted("file"));
  const reply = client.call("OPEN", [file.node, OpenFlag.READ, 1]);
  expect(reply.payload.toString()).toBe("above");
  expect(file.policy).toBe(Policy.ORDINARY);
});

test("what is covered is not told of; what covers it is", () => {
  tmpfs("stacked");
  mkdirSync(at("stacked/deep"));
  tmpfs("stacked/deep");
  tmpfs("stacked");
  tmpfs("dir/sub");
  tmpfs("dir");
  const [dir, stacked] = mountsWhen((all) => all.length === 2).sort((a, b) =>
    a.path < b.path ? -1 : 1,
  ) as [Listed, Listed];
  expect([dir.path, stacked.path]).toEqual(["dir", "stacked"]);
  expect([dir.parent, stacked.parent]).toEqual([0, 0]);
  writeFileSync(at("stacked/top"), "");
  expect(client.errno("LOOKUP", rootOf(stacked).node, "top")).toBe(0);
  expect(umount(at("stacked"))).toBe(0);
  const uncovered = mountsWhen((all) => all.length === 3);
  const paths = uncovered.map(({ path }) => path).sort();
  expect(paths).toEqual(["dir", "stacked", "stacked/deep"]);
  expect(uncovered.find(({ path }) => path === "stacked")?.mount).not.toBe(stacked.mount);
});

test("a mount's tree is walked, read and written like any", () => {
  tmpfs("m");
  mkdirSync(at("m/d"));
  writeFileSync(at("m/d/f"), "data");
  const here = mounted("m");
  const root = rootOf(here);
  expect(root.ino).toBe(statSync(at("m")).ino);
  expect(rootOf(here).node).toBe(root.node);
  const d = look(root.node, "d");
  expect(d.ino).toBe(statSync(at("m/d")).ino);
  const f = look(d.node, "f");
  expect(client.call("OPEN", [f.node, OpenFlag.READ, 1]).payload.toString()).toBe("data");
  const [, ...made] = client.ok("CREATE", d.node, "new", 3, 0o644, ...CALLER);
  const handle = made[16] as number;
  expect(client.call("WRITE", [handle, 0, 0, 0], Buffer.from("new")).results).toEqual([3]);
  expect(readFileSync(at("m/d/new"), "utf8")).toBe("new");
  expect(client.errno("RENAME", d.node, "f", client.root, "f", 0)).toBe(E.EXDEV);
  expect(client.errno("RENAME", d.node, "f", root.node, "g", 0)).toBe(0);
  expect(client.errno("RMDIR", client.root, "m")).toBe(E.EBUSY);
});

test("one directory in two mounts is two nodes, and each is told of what is done in the other", () => {
  mkdirSync(at("d"));
  mkdirSync(at("m"));
  writeFileSync(at("d/f"), "data");
  expect(bind(at("d"), at("m"))).toBe(0);
  const d = look(client.root, "d");
  const here = mounted("m");
  const m = rootOf(here);
  expect([m.ino, m.node === d.node]).toEqual([d.ino, false]);
  const f = look(d.node, "f");
  const g = look(m.node, "f");
  expect([f.ino, f.node === g.node]).toEqual([g.ino, false]);
  const told = (work: () => void) => {
    settle(client, client.root, server.share);
    client.events.length = 0;
    work();
    settle(client, client.root, server.share);
    return client.events.filter(([event]) => event === Event.CHANGED);
  };
  const hosts = told(() => writeFileSync(at("d/f"), "host"));
  expect(hosts).toContainEqual([Event.CHANGED, f.node, 1, 0]);
  expect(hosts).toContainEqual([Event.CHANGED, g.node, 1, here.mount]);
  const own = told(() => {
    const [handle] = client.ok("OPEN", g.node, OpenFlag.WRITE, 0) as [number];
    client.call("WRITE", [handle, 0, 0, 0], Buffer.from("own"));
    client.oneway(Oneway.RELEASE, handle);
  });
  expect(own).toContainEqual([Event.CHANGED, f.node, 1, 0]);
  expect(told(() => chmodSync(at("m"), 0o700))).toContainEqual([
    Event.CHANGED,
    m.node,
    0,
    here.mount,
  ]);
});

test("each change is told of once the client has been told the one before", () => {
  const generations: number[] = [];
  const changed = (work: () => void) => {
    client.events.length = 0;
    work();
    const isTold = () => client.events.some(([event]) => event === Event.MOUNTS);
    client.pump(isTold);
    generations.push(listMounts(client).generation);
  };
  changed(() => tmpfs("m"));
  changed(() => expect(mount("none", at("m"), MS_REMOUNT | MS_BIND | MS_RDONLY)).toBe(0));
  expect(mounted("m").flags & MountFlag.RDONLY).toBe(MountFlag.RDONLY);
  changed(() => expect(umount(at("m"))).toBe(0));
  expect(new Set(generations).size).toBe(3);
  expect(generations).toEqual(generations.toSorted((a, b) => a - b));
  expect(listMounts(client).generation).toBe(generations.at(-1) as number);
});

test("a mount that is made read-only is so for the client, and writable again", () => {
  tmpfs("m");
  const root = rootOf(mounted("m")).node;
  expect(client.errno("MKDIR", root, "a", 0o755, ...CALLER)).toBe(0);
  mount("none", at("m"), MS_REMOUNT | MS_BIND | MS_RDONLY);
  mountsWhen(([m]) => ((m?.flags ?? 0) & MountFlag.RDONLY) !== 0);
  expect(client.errno("MKDIR", root, "b", 0o755, ...CALLER)).toBe(E.EROFS);
  mount("none", at("m"), MS_REMOUNT | MS_BIND);
  mountsWhen(([m]) => ((m?.flags ?? 0) & MountFlag.RDONLY) === 0);
  expect(client.errno("MKDIR", root, "b", 0o755, ...CALLER)).toBe(0);
});

test("what is unmounted is gone: nodes are stale, and the next mount there has others", () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "");
  const first = mounted("m");
  const root = rootOf(first);
  const f = look(root.node, "f");
  expect(umount(at("m"))).toBe(0);
  none();
  for (const { node } of [root, f]) expect(client.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  expect(client.errno("MOUNT_ROOT", first.mount)).toBe(E.ENOENT);
  tmpfs("m");
  const second = mounted("m");
  expect(second.mount).not.toBe(first.mount);
  expect(rootOf(second).node).not.toBe(root.node);
  expect(client.errno("GETATTR", root.node, 0)).toBe(E.ESTALE);
});

test("one mount in another's place between two looks is another one", () => {
  tmpfs("m");
  const first = mounted("m");
  const root = rootOf(first);
  umount(at("m"));
  tmpfs("m");
  writeFileSync(at("m/second"), "");
  const [second] = mountsWhen(([m]) => m !== undefined && m.mount !== first.mount) as [Listed];
  expect(client.errno("GETATTR", root.node, 0)).toBe(E.ESTALE);
  expect(client.errno("LOOKUP", rootOf(second).node, "second")).toBe(0);
});

test("a mount that only covers another leaves its nodes alone", () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "data");
  const below = mounted("m");
  const f = look(rootOf(below).node, "f");
  tmpfs("m");
  const above = mountsWhen(([m]) => m !== undefined && m.mount !== below.mount)[0] as Listed;
  expect(client.call("OPEN", [f.node, OpenFlag.READ, 1]).payload.toString()).toBe("data");
  umount(at("m"));
  mountsWhen(([m]) => m?.mount === below.mount);
  expect(client.errno("MOUNT_ROOT", above.mount)).toBe(E.ENOENT);
  expect(client.errno("GETATTR", f.node, 0)).toBe(0);
});

test("a mount is busy while a file of it is open, and not for what is known of it", async () => {
  tmpfs("m");
  mkdirSync(at("m/d"));
  writeFileSync(at("m/d/f"), "data");
  const root = rootOf(mounted("m"));
  const d = look(root.node, "d");
  const f = look(d.node, "f");
  client.ok("READDIR", 1, d.node, 0, 4096, 0);
  const open = () => client.ok("OPEN", f.node, OpenFlag.READ, 0)[0] as number;
  const before = await descriptorsAlone();
  const handles = [open(), open()];
  await until(() => server.descriptors() === before + 3, "the mount is held");
  expect(umount(at("m"))).toBe(-E.EBUSY);
  client.oneway(Oneway.RELEASE, handles[0] as number);
  client.ok("PING");
  expect(umount(at("m"))).toBe(-E.EBUSY);
  client.oneway(Oneway.RELEASE, handles[1] as number);
  client.ok("PING");
  expect(umount(at("m"))).toBe(0);
  none();
});

test("a mount is not busy for a short look at a file", async () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "data");
  const f = look(rootOf(mounted("m")).node, "f");
  // Not every machine is fast enough the first time.
  await until(() => {
    const [handle] = client.ok("OPEN", f.node, OpenFlag.READ, 0) as [number];
    const result = umount(at("m"));
    expect(client.call("READ", [handle, 0, 9]).payload.toString()).toBe("data");
    client.oneway(Oneway.RELEASE, handle);
    return result === 0;
  }, "it is unmounted");
  none();
});

test("a file that is open stays so when its mount is detached", async () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "data");
  const before = await descriptorsAlone();
  const f = look(rootOf(mounted("m")).node, "f");
  const [handle] = client.ok("OPEN", f.node, OpenFlag.READ | OpenFlag.WRITE, 0) as [number];
  expect(umount(at("m"), MNT_DETACH)).toBe(0);
  none();
  expect(client.call("READ", [handle, 0, 100]).payload.toString()).toBe("data");
  expect(client.call("WRITE", [handle, 4, 0, 0], Buffer.from("more")).errno).toBe(0);
  expect(attributesOf(client.ok("GETATTR", f.node, handle)).size).toBe(8);
  client.oneway(Oneway.RELEASE, handle);
  expect(client.errno("GETATTR", f.node, 0)).toBe(E.ESTALE);
  await until(() => server.descriptors() === before, "its descriptors are closed");
});

test("nothing of ours keeps a file system that was unmounted", async () => {
  const image = `${server.outside}/image`;
  run("truncate", "-s", "8M", image);
  run("mkfs.ext4", "-q", image);
  mkdirSync(at("disk"));
  const device = await attachLoop(image);
  try {
    run("mount", device, at("disk"));
    mkdirSync(at("disk/d"));
    writeFileSync(at("disk/d/f"), "");
    const root = rootOf(mounted("disk"));
    expect(root.policy).toBe(Policy.WATCHED);
    const d = look(root.node, "d");
    look(d.node, "f");
    client.ok("READDIR", 1, d.node, 0, 4096, 0);
    run("umount", at("disk"));
    // A file system that is still there, somewhere, has its device for itself.
    await until(() => isFree(device), "the device is free");
  } finally {
    run("losetup", "--detach", device);
  }
});

/** A loop device of the file `image`; another process may be faster to take one that is free. */
async function attachLoop(image: string): Promise<string> {
  let device = "";
  await until(() => {
    const { status, stdout } = spawnSync("losetup", ["--find", "--show", image]);
    device = String(stdout).trim();
    return status === 0;
  }, "there is a loop device");
  return device;
}

/** Whether nobody has a block device for himself (open(2): O_EXCL). */
function isFree(device: string): boolean {
  try {
    closeSync(openSync(device, "rs+"));
    return true;
  } catch {
    return false;
  }
}

test("a mount that the client has no use for is forgotten with its files, and can be asked for again", async () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "data");
  const before = await descriptorsAlone();
  const here = mounted("m");
  const root = rootOf(here);
  const f = look(root.node, "f");
  const [handle] = client.ok("OPEN", f.node, OpenFlag.READ, 0) as [number];
  expect(client.ok("MOUNT_END", here.mount)).toEqual([]);
  expect(client.ok("MOUNT_END", here.mount)).toEqual([]);
  for (const { node } of [root, f]) expect(client.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  const again = rootOf(here);
  expect(again.node).not.toBe(root.node);
  expect(look(again.node, "f").ino).toBe(f.ino);
  client.ok("MOUNT_END", here.mount);
  expect(client.errno("READ", handle, 0, 9)).toBe(E.EBADF);
  // It is not busy any more.
  expect(umount(at("m"))).toBe(0);
  await until(() => server.descriptors() === before, "its descriptors are closed");
});

test("a root that is forgotten more often than it was asked for stays", () => {
  tmpfs("m");
  writeFileSync(at("m/f"), "");
  const { node } = rootOf(mounted("m"));
  client.oneway(Oneway.FORGET, 1, node, 5);
  expect(client.errno("LOOKUP", node, "f")).toBe(0);
});

test("a mount that answers to nothing holds up its own request alone", () => {
  const fuse = openSync("/dev/fuse", "r+");
  try {
    mkdirSync(at("hung"));
    const options = `fd=${fuse},rootmode=40000,user_id=0,group_id=0`;
    expect(mount("fuse", at("hung"), 0, "nobody", options)).toBe(0);
    const { mount: number } = mounted("hung");
    const asks = (slot: number) => client.send(slot, "MOUNT_ROOT", [number]);
    asks(1);
    expect(client.errno("LOOKUP", client.root, "hung")).toBe(0);
    expect(client.answered(1)).toBe(false);
    client.cancel(1);
    expect(client.reply(1).errno).toBe(E.EINTR);
    asks(2);
    expect(client.ok("PING")).toEqual([]);
    umount(at("hung"), MNT_DETACH);
  } finally {
    // Ends its connection: whoever waits for it is told.
    closeSync(fuse);
  }
  expect(client.reply(2).errno).not.toBe(0);
  expect(none()).toEqual([]);
});

test("hundreds of mounts come and go, and leave nothing behind", async () => {
  mkdirSync(at("m"));
  writeFileSync(at("m/covered"), "");
  const before = await descriptorsAlone();
  for (let i = 0; i < 200; i++) {
    expect(mount("tmpfs", at("m"))).toBe(0);
    writeFileSync(at(`m/${i}`), "");
    if (i % 4 === 0) {
      const root = rootOf(mounted("m"));
      expect(client.errno("LOOKUP", root.node, String(i))).toBe(0);
      expect(client.errno("LOOKUP", root.node, String(i - 1))).toBe(E.ENOENT);
    }
    expect(umount(at("m"))).toBe(0);
  }
  none();
  await until(() => server.descriptors() === before, "its descriptors are closed");
  // That of the root is left.
  await until(async () => (await server.snapshot()).totals.nodes === 1, "its nodes are forgotten");
}, 60_000);

test("a client that was away is told of what changed meanwhile", () => {
  tmpfs("m");
  const f = rootOf(mounted("m"));
  client.transport.close();
  expect(umount(at("m"))).toBe(0);
  const again = server.resumed(client);
  mountsWhen((all) => all.length === 0, again);
  expect(again.errno("GETATTR", f.node, 0)).toBe(E.ESTALE);
});

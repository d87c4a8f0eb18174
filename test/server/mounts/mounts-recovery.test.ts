/** Sessions that split, of a process that was killed: what becomes of the mounts they knew. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRoot } from "../../../src/server/exports.ts";
import type { HostMounts } from "../../../src/server/mounts/hostmounts.ts";
import { SessionRecord } from "../../../src/server/record/record.ts";
import { type Recovered, recover } from "../../../src/server/recovery.ts";
import type { Tree } from "../../../src/server/tree.ts";
import { treeOf } from "../../../src/server/trees.ts";
import { E } from "../../../src/sys/errno.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { ROOT_NODE } from "../../../src/wire/constants.ts";
import { mount, mountPrivate, umount, umountBelow } from "../../support/hostmounts.ts";
import { detailsOf, lookup, open, READ_WRITE, servicesFor } from "../../support/records.ts";

const records = mkdtempSync("/dev/shm/qtfs-mounts-");
const share = mkdtempSync(join(tmpdir(), "qtfs-mounts-"));
const at = (name: string) => join(share, name);
const unconnected = {
  transport: SocketTransport.closed(),
  beginEvent(): never {
    throw new Error("Nobody is there to be told");
  },
};
const PLACES = ["kept", "gone", "replaced"] as const;
type Place = (typeof PLACES)[number];

let made = 0;

beforeAll(() => mountPrivate(share));
afterEach(() => {
  for (const name of readdirSync(share)) umountBelow(at(name));
});
afterAll(() => {
  umountBelow(share);
  for (const path of [records, share]) rmSync(path, { recursive: true });
});

function mountAt(name: string): void {
  mkdirSync(at(name), { recursive: true });
  expect(mount("tmpfs", at(name))).toBe(0);
  mkdirSync(at(`${name}/d`));
  for (const file of ["d/f", "d/open"]) writeFileSync(at(`${name}/${file}`), name);
}

function splitTree(): Tree {
  const record = SessionRecord.create(join(records, `record-${made++}`));
  if (typeof record === "number") throw new Error(`No record: ${record}`);
  record.describe({ ...detailsOf(share), splits: true });
  const services = servicesFor(share);
  const root = openRoot(services.exports, share);
  if (typeof root === "number") throw new Error(`No root: ${root}`);
  return treeOf(root, true, services, unconnected, record);
}

const mountsOf = (tree: Tree) => tree.mounts as HostMounts;

function numberOf(tree: Tree, name: string): number {
  const found = mountsOf(tree).visible.find(({ path }) => path === at(name));
  return found?.number ?? 0;
}

/** What a client has of one mount. */
interface Had {
  root: number;
  d: number;
  f: number;
  handle: number;
}

function have(tree: Tree, name: string): Had {
  const root = mountsOf(tree).root(numberOf(tree, name));
  const d = lookup(tree, "d", root);
  const f = lookup(tree, "f", d);
  const file = lookup(tree, "open", d);
  const handle = open(tree, file, READ_WRITE);
  mountsOf(tree).opened(tree.nodes.mountOf(file));
  return { root, d, f, handle };
}

/** What the kernel does for a process that was killed: all is closed, the record stays. */
function die(tree: Tree): string {
  tree.handles.close();
  tree.mounts?.close();
  tree.reach.close();
  tree.nodes.close();
  tree.record.close();
  return tree.record.path as string;
}

function recovered(path: string): Recovered {
  const record = SessionRecord.open(path);
  if (typeof record === "string") throw new Error(record);
  const result = recover(record, servicesFor(share), unconnected);
  if (typeof result === "string") throw new Error(result);
  return result;
}

test("mounts that are there are gone on with; nodes of others are forgotten, files open there stale", () => {
  for (const place of PLACES) mountAt(place);
  const tree = splitTree();
  const had = Object.fromEntries(PLACES.map((place) => [place, have(tree, place)]));
  const { kept, gone, replaced } = had as Record<Place, Had>;
  const high = (node: number) => tree.nodes.high(node);
  const numbers = [kept.root, kept.d, kept.f].map((node) => [high(node), node] as const);
  const { generation } = mountsOf(tree);
  const path = die(tree);
  expect(umount(at("gone"))).toBe(0);
  expect(umount(at("replaced"))).toBe(0);
  mountAt("replaced");
  const result = recovered(path);
  const { nodes, reach, handles } = result.tree;
  expect([result.reopened, result.stale, result.lost]).toEqual([1, 2, 0]);
  expect(mountsOf(result.tree).generation).toBeGreaterThan(generation);
  for (const [upper, node] of numbers) {
    expect(nodes.row(upper, node)).toBe(node);
    expect(reach.stat(node)).toBe(0);
  }
  for (const { root, d, f, handle } of [gone, replaced]) {
    expect([root, d, f].map((node) => nodes.lookups[node])).toEqual([0, 0, 0]);
    expect(handles.fd[handle]).toBe(-E.ESTALE);
    result.tree.release(handle);
  }
  // The root, and what is kept: its root, directory, two files.
  expect(nodes.count).toBe(5);
  result.tree.close();
});

test("a mount is as busy for the next process", () => {
  mountAt("kept");
  const tree = splitTree();
  const { handle } = have(tree, "kept");
  mountsOf(tree).hold(Number.POSITIVE_INFINITY);
  expect(umount(at("kept"))).toBe(-E.EBUSY);
  const result = recovered(die(tree));
  expect(umount(at("kept"))).toBe(-E.EBUSY);
  result.tree.release(handle);
  expect(umount(at("kept"))).toBe(0);
  mountsOf(result.tree).refresh();
  expect(mountsOf(result.tree).visible).toEqual([]);
  expect(result.tree.nodes.count).toBe(1);
  expect(result.tree.reach.stat(ROOT_NODE)).toBe(0);
  result.tree.close();
});

/** Trees over records, without a client: what the tests of records share. */
import { statSync } from "node:fs";
import { hostFlags } from "../../src/server/hostflags.ts";
import { MountTable } from "../../src/server/mounts/mounttable.ts";
import type { SessionRecord } from "../../src/server/record/record.ts";
import { identify, statName } from "../../src/server/status.ts";
import { Tree } from "../../src/server/tree.ts";
import type { TreeServices } from "../../src/server/trees.ts";
import type { Connected } from "../../src/server/watched.ts";
import { Watcher } from "../../src/server/watcher.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../../src/sys/open.ts";
import { OpenFlag, ROOT_NODE } from "../../src/wire/constants.ts";

/** Files of test/server/recordchild.ts, named by number at first, later with more letters. */
export const FILES = 1500;
/** Those of them that are opened and locked. */
export const OPENED = 40;

/** A session that has nobody to tell anything. */
class Silent {
  get transport(): never {
    throw new Error("Nothing is sent here");
  }

  beginEvent(): never {
    return this.transport;
  }
}

export const silent: Connected = new Silent();

export const READ_WRITE = OpenFlag.READ | OpenFlag.WRITE;

/**
 * One for all trees, of which those of processes that "died" never say that they have
 * ended: a user may have 128 groups of fanotify(7).
 */
const watcher = new Watcher();

/** What trees of the directory `path` need of a server. */
export function servicesFor(path: string, readOnly = false): TreeServices {
  return {
    exports: [{ path, readOnly }],
    watcher,
    mounts: new MountTable(),
    tell() {},
    policies: [],
  };
}

/** A tree of the directory `path`, in `record`, which is described as such. */
export function treeOf(record: SessionRecord, path: string, readOnly = false): Tree {
  record.describe(detailsOf(path, readOnly));
  const root = openat(AT_FDCWD, cstring(path), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  return new Tree({ fd: root, path, readOnly, allow: [], follows: false }, watcher, silent, record);
}

export function detailsOf(path: string, readOnly = false) {
  return {
    session: "0123456789abcdef0123456789abcdef",
    uid: 0,
    path,
    readOnly,
    splits: false,
    server: "unix:///run/qtfs/server.sock",
    epoch: 1,
    role: "mount",
  };
}

/** Looks `name` up in the directory `parent`; its row, or -errno. */
export function lookup(tree: Tree, name: string, parent = ROOT_NODE): number {
  const result = statName(tree.reach.fd(parent), cstring(name));
  return result < 0 ? result : tree.nodes.intern(identify(), parent, name);
}

/** Opens the file of `row`; its handle. */
export function open(tree: Tree, row: number, flags: number = READ_WRITE): number {
  const fd = tree.reach.open(row, hostFlags(flags));
  if (fd < 0) throw new Error(`The file of node ${row} cannot be opened: ${fd}`);
  return tree.handles.add(fd, row, 0, flags);
}

/** Inode number of the file that `fd` is open on. */
export function inodeOf(fd: number | undefined): number {
  return statSync(`/proc/self/fd/${fd}`).ino;
}

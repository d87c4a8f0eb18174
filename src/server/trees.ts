/** The tree of a session on what it attached to: one for all, or split by the HOST's mounts. */
import { close } from "../sys/open.ts";
import type { Root } from "./exports.ts";
import { HostMounts } from "./mounts/hostmounts.ts";
import { copyOf } from "./mounts/mountplaces.ts";
import type { SessionRecord } from "./record/record.ts";
import type { ReactorServices } from "./services.ts";
import { Tree } from "./tree.ts";
import type { Connected } from "./watched.ts";

/** What of a reactor's services a tree needs. */
export type TreeServices = Pick<
  ReactorServices,
  "exports" | "policies" | "watcher" | "mounts" | "tell"
>;

/** Whether the mounts beneath the root `fd` can be told apart: their copies need CAP_SYS_ADMIN. */
export function canSplit(fd: number): boolean {
  const copy = copyOf(fd);
  if (copy < 0) return false;
  close(copy);
  return true;
}

/**
 * The tree of `root`, whose descriptor is owned from now on, over the record of its
 * session. Throws where there is no room, the record is of another root, or `splits`
 * is asked for and cannot be.
 */
export function treeOf(
  root: Root,
  splits: boolean,
  services: TreeServices,
  session: Connected,
  record: SessionRecord,
): Tree {
  const { exports, policies, watcher, mounts, tell } = services;
  const fd = splits ? copyOf(root.fd) : root.fd;
  const hasTable = splits && mounts.begin();
  try {
    if (fd < 0 || hasTable !== splits) throw new Error("mounts cannot be told apart any more");
    const tree = new Tree({ ...root, fd }, watcher, session, record, policies);
    if (splits) tree.mounts = new HostMounts(tree, root.fd, mounts, exports, session, tell);
    return tree;
  } catch (error) {
    if (hasTable) mounts.end();
    if (fd >= 0) close(fd);
    throw error;
  } finally {
    if (splits) close(root.fd);
  }
}

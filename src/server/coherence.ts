/**
 * What a client may go on believing: the server remembers, per inode, the change
 * time and size of the data and of the attributes it last told the client of.
 */
import { OpenResult, Policy } from "../wire/constants.ts";
import { HandleFlag } from "./handles.ts";
import { ctimeLow, ctimeNs, size, statFd } from "./status.ts";
import type { Tree } from "./tree.ts";

/** Nanoseconds that no change time has. */
const NEVER_NS = 0xffff_ffff;

/** Remembers the data of `row`, described last, as what the client now has. */
export function remember(tree: Tree, row: number): void {
  tree.nodes.seenTime[row] = ctimeLow();
  tree.nodes.seenTimeNs[row] = ctimeNs();
  tree.nodes.seenSize[row] = size() >>> 0;
}

/** What the client has of `row`'s data, if anything, is no longer true. */
export function distrust(tree: Tree, row: number): void {
  if (wasSeen(tree, row)) tree.nodes.seenTimeNs[row] = NEVER_NS;
}

/** Whether the client ever had data of `row`. */
export function wasSeen(tree: Tree, row: number): boolean {
  return tree.nodes.seenTime[row] !== 0 || tree.nodes.seenTimeNs[row] !== 0;
}

/** Whether the data of `row`, described last, is what the client has. */
export function isRemembered(tree: Tree, row: number): boolean {
  const { nodes } = tree;
  return (
    nodes.seenTimeNs[row] === ctimeNs() &&
    nodes.seenTime[row] === ctimeLow() &&
    nodes.seenSize[row] === size() >>> 0 &&
    wasSeen(tree, row)
  );
}

/** What the client may still believe of `row`, which was opened and described last. */
export function cacheResult(tree: Tree, row: number): number {
  const { nodes, handles, reach } = tree;
  const time = ctimeLow();
  const timeNs = ctimeNs();
  const bytes = size() >>> 0;
  const same = isRemembered(tree, row);
  const told =
    nodes.toldTimeNs[row] === timeNs &&
    nodes.toldTime[row] === time &&
    nodes.toldSize[row] === bytes;
  // While the client itself writes the file, its cache is what it wrote.
  const writes = handles.writing(row);
  let result = same || writes ? OpenResult.KEEP_CACHE : 0;
  if (!told && !writes) result |= OpenResult.CHANGED;
  if (reach.policy(row) === Policy.LIVE) result |= OpenResult.UNSIZED;
  return result;
}

/** What the client wrote itself it has: called before a handle is released. */
export function noteWritten(tree: Tree, handle: number): void {
  const fd = tree.handles.fd[handle] as number;
  if (fd < 0 || ((tree.handles.flags[handle] as number) & HandleFlag.WROTE) === 0) return;
  if (statFd(fd) === 0) remember(tree, tree.handles.node[handle] as number);
}

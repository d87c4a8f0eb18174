/**
 * Names and numbers of the hidden directory by which the twin process reaches inodes of the
 * mount (door.ts answers them, doorman.worker.ts uses them). There is one in each
 * superblock, and only the twin process sees it:
 *
 * - `.qtfs-twins`, whose inode number tells the channel;
 * - in it `aHIGH.LOW`: the inode of node HIGH:LOW, under another name;
 * - `dNUMBER.HIGH.LOW.DEPTH`: a directory of as many levels of directories as the HOST's path
 *   of that node has names, whatever those are. What is bound at the last level gets that inode.
 */
import { SOCKET_PATH_MAX } from "../../sys/unixsocket.ts";
import type { Node } from "./channel.ts";

/** Upper half of the numbers of all such directories: no server gives it (nodes.ts). */
export const TWIN_HIGH = 0xffff_fffe;
export const DOORS_NAME = ".qtfs-twins";

/** Lower half of the hidden directory's number; the channel is added. */
const ROOT_LOW = 1;
/** The lower half of others is their door's number and, in so many bits, the level. */
const LEVEL_BITS = 6;
/** Names of a path that a door can have: one fits into sun_path of 107 bytes. */
export const DEPTH_MAX = (1 << LEVEL_BITS) - 2;
/** Numbers of doors: the least is beyond all channels. */
const NUMBER_MIN = 1024;
const NUMBER_END = 1 << (32 - LEVEL_BITS);

/** The hidden directory of a channel. */
export function doorsLow(channel: number): number {
  return ROOT_LOW + channel;
}

/** The channel of a hidden directory by its inode's number. */
export function channelOfDoors(low: number): number {
  return low - ROOT_LOW;
}

/** The number of a door after another one, or the first. */
export function nextDoor(before = Math.floor(Math.random() * NUMBER_END)): number {
  return before >= NUMBER_END - 1 || before < NUMBER_MIN ? NUMBER_MIN : before + 1;
}

/** Directory at a level of a door, 0 for the door itself. */
export function levelLow(number: number, level: number): number {
  return ((number << LEVEL_BITS) | level) >>> 0;
}

/** The door and the level of a directory, or undefined for the hidden one itself. */
export function levelOf(low: number): { number: number; level: number } | undefined {
  const number = low >>> LEVEL_BITS;
  return number < NUMBER_MIN ? undefined : { number, level: low & ((1 << LEVEL_BITS) - 1) };
}

/** `path` as far as it fits into a socket's name: all of it, or the most names at its end. */
export function fitting(path: string): string {
  if (path.length <= SOCKET_PATH_MAX && path.split("/").length - 1 <= DEPTH_MAX) return path;
  const names = path.split("/").slice(-DEPTH_MAX);
  while (names.length > 1 && names.join("/").length > SOCKET_PATH_MAX) names.shift();
  return names.join("/");
}

export function aliasName([high, low]: Node): string {
  return `a${high.toString(16)}.${low.toString(16)}`;
}

export function doorName(number: number, [high, low]: Node, depth: number): string {
  return `d${number}.${high.toString(16)}.${low.toString(16)}.${depth}`;
}

/** The node that a name in the hidden directory is an alias of. */
export function readAlias(name: string): Node | undefined {
  const [, high, low] = /^a([0-9a-f]{1,8})\.([0-9a-f]{1,8})$/.exec(name) ?? [];
  if (high === undefined || low === undefined) return undefined;
  return [Number.parseInt(high, 16), Number.parseInt(low, 16)];
}

/** A door: where it leads. */
export interface Door {
  readonly number: number;
  readonly node: Node;
  readonly depth: number;
}

export function readDoor(name: string): Door | undefined {
  const match = /^d([0-9]{1,8})\.([0-9a-f]{1,8})\.([0-9a-f]{1,8})\.([0-9]{1,2})$/.exec(name);
  const [, number, high, low, depth] = match ?? [];
  if (high === undefined || low === undefined) return undefined;
  const node: Node = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return { number: Number(number), node, depth: Number(depth) };
}

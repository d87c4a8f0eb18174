/** Numbers of 64 bits as keys of tables, which are exact below 2^53 alone. */
import { channelOf } from "../fuse/channels.ts";
import { NODE_EPOCH_SHIFT } from "../wire/constants.ts";

const TWO_32 = 0x1_0000_0000;
const WITHOUT_EPOCH = (1 << NODE_EPOCH_SHIFT) - 1;

/** Key of a node: what tells it from all others of its session. Tables are emptied with that. */
export function nodeKey(high: number, low: number): number {
  return (high & WITHOUT_EPOCH) * TWO_32 + low;
}

/** Key of a number under which the kernel polls: it counts from 0 in each superblock. */
export function pollKey(high: number, low: number): number {
  return channelOf(high) * TWO_32 + low;
}

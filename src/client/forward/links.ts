/**
 * Symbolic links, of which procfs's magic ones have two faces: readlink(2) is told their
 * text, whoever follows one is led to the HOST's inode. For that the kernel is given the
 * name of another entry beside the link, which names the link's node: its LOOKUP asks the
 * server what the link leads to. Such names are in no listing.
 */
import { channelOf } from "../../fuse/channels.ts";
import { ENTRY_OUT, IN_HEADER_SIZE } from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { nodePolicy, Policy, ROOT_NODE } from "../../wire/constants.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import { put64 } from "../answers.ts";
import type { Client } from "../client.ts";
import { isReadingLink } from "../proc/stack.ts";

const PREFIX = ".qtfs.follow.";
const FOLLOW_NAME = /^\.qtfs\.follow\.([0-9a-f]{1,8})\.([0-9a-f]{1,8})$/;

/**
 * Whether the kernel may keep what links say in the superblock of a request with that upper
 * half of its number: those of procfs and its like change by themselves.
 */
export function mayCacheLinks(c: Client, uniqueHigh: number): boolean {
  const channel = channelOf(uniqueHigh);
  const policy =
    channel === 0 ? c.policyOf(0, ROOT_NODE) : nodePolicy(c.fuse.channels.rootHigh(channel));
  return c.cache !== "never" && policy !== Policy.LIVE;
}

export function readlink(c: Client): number {
  const w = c.ask(Op.READLINK, c.fuse.uid, c.fuse.gid);
  c.putNode(w);
  w.uint(c.fuse.uid);
  w.uint(c.fuse.gid);
  c.send();
  return 0;
}

export function answerReadlink(c: Client, slot: number): void {
  const { reader } = c.transport;
  const isMagic = reader.uint() !== 0;
  const [owner, group] = [reader.uint32(), reader.uint32()];
  reader.finish();
  const { first, nodeHigh, nodeLow, pid, second, uniqueHigh } = c.pending;
  if (!isMagic || mayCacheLinks(c, uniqueHigh[slot] as number)) {
    answerText(c, slot);
    return;
  }
  // As ptrace(2) has it for procfs itself, where our kernel only sees a link for everybody.
  const isAllowed = first[slot] === 0 || (first[slot] === owner && second[slot] === group);
  if (!isAllowed) c.answerErrno(slot, E.EACCES);
  else if (isReadingLink(pid[slot] as number)) answerText(c, slot);
  else {
    const [high, low] = [nodeHigh[slot] as number, nodeLow[slot] as number];
    const name = `${PREFIX}${high.toString(16)}.${low.toString(16)}`;
    c.answer(slot, c.fuse.answer.bytes.latin1Write(name, c.answerBody));
  }
}

/** Answers with a link's text, which is the payload, unless it could lead out of the mount. */
function answerText(c: Client, slot: number): void {
  const { payloadLength, payloadStart, reader } = c.transport;
  if (c.containsLinks && leadsOut(reader.bytes, payloadStart, payloadStart + payloadLength)) {
    c.answerErrno(slot, E.EACCES);
  } else c.answerPayload(slot, PATH_MAX);
}

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * Whether a link whose text is `bytes` from `from` to `to` may lead to a place that is not below
 * the link's directory: one that begins at the root, or goes up anywhere. To compare how often
 * it goes up with how deep it lies would not do: what it names on the way may be a link itself,
 * and a server may show the link's directory at another depth meanwhile.
 */
export function leadsOut(bytes: Uint8Array, from: number, to: number): boolean {
  if (from < to && bytes[from] === SLASH) return true;
  for (let at = from; at + 1 < to; at++) {
    if (bytes[at] !== DOT || bytes[at + 1] !== DOT) continue;
    const begins = at === from || bytes[at - 1] === SLASH;
    // The kernel's text ends at a NUL.
    const ends = at + 2 === to || bytes[at + 2] === SLASH || bytes[at + 2] === 0;
    if (begins && ends) return true;
  }
  return false;
}

/** Asks where a magic link leads, if the name of `length` bytes in the LOOKUP stands for that. */
export function follow(c: Client, length: number): boolean {
  const { bytes } = c.fuse.request;
  const name = bytes.latin1Slice(IN_HEADER_SIZE, IN_HEADER_SIZE + length);
  const [, high, low] = FOLLOW_NAME.exec(name) ?? [];
  if (high === undefined || low === undefined) return false;
  const w = c.ask(Op.FOLLOW);
  w.uint64(Number.parseInt(high, 16), Number.parseInt(low, 16));
  w.uint(c.fuse.uid);
  w.uint(c.fuse.gid);
  c.send();
  return true;
}

/** Answers with what the link leads to now: the next time it may be something else. */
export function answerFollowed(c: Client, slot: number): void {
  const bytes = c.putEntryHere(c.answerBody, slot);
  c.transport.reader.finish();
  put64(c.fuse.answer.view, c.answerBody + ENTRY_OUT.entry_valid, 0);
  if (c.twins?.sockets.looked(slot, bytes) !== true) c.answer(slot, bytes);
}

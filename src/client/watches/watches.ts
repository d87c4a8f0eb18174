/**
 * What programs watch on the mount (inotify), as the ghosts' thread finds it: the
 * server is asked to tell what happens to it on the HOST, and what it tells is given
 * to that thread, which has the kernel tell them.
 */
import { channelOf, ROOT } from "../../fuse/channels.ts";
import { signalEventfd } from "../../sys/poll.ts";
import { Happening } from "../../wire/constants.ts";
import { EVENT_WATCHES_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import { putNotice } from "../channelnotice.ts";
import type { Client } from "../client.ts";
import type { Notice, NoticeQueue } from "../noticequeue.ts";
import type { GhostChannel, Happened } from "./ghostchannel.ts";

/** Happenings that wait here for room in the channel; more are lost. */
const WAITING_MAX = 16_384;
const { DELETE, MODIFY, MOVE } = Happening;

interface Watched {
  readonly high: number;
  readonly low: number;
  /** The superblock that it is in: its channel, and its device number. */
  readonly channel: number;
  readonly device: number;
}

interface Later {
  readonly notice: Notice;
  readonly channel: number;
}

export class Watches {
  readonly #client: Client;
  readonly #channel: GhostChannel;
  readonly #notices: NoticeQueue;
  readonly #wakeFd: number;
  readonly #wanted = new Map<string, Watched>();
  /** Nodes of which the server does not know yet whether they are watched. */
  readonly #untold = new Map<string, Watched>();
  #waiting: Happened[] = [];
  /** The first of them that has not had room yet. */
  #next = 0;
  /** Names that a ghost operation is about, and what the kernel is told of them afterwards. */
  readonly #names = new Set<string>();
  #later: Later[] = [];
  /** Superblocks beside the first when it was last looked. */
  #channels = 0;
  /** Happenings that came, and those there was no room for. */
  #heard = 0;
  #lost = 0;
  #refused = 0;

  constructor(client: Client, channel: GhostChannel, notices: NoticeQueue, wakeFd: number) {
    this.#client = client;
    this.#notices = notices;
    this.#channel = channel;
    this.#wakeFd = wakeFd;
  }

  /**
   * Takes what the thread has found in the superblock with number `device`, which the
   * request in the device's buffer came from, on its root.
   */
  takeFound(device: number): void {
    const { fuse } = this.#client;
    const channel = channelOf(fuse.uniqueHigh);
    const { nodeHigh, nodeLow } = fuse;
    for (let found = this.#channel.takeFound(); found; found = this.#channel.takeFound()) {
      // Of a superblock that somebody else serves.
      if (found.device !== device) continue;
      const isRoot = found.high === 0 && found.low === ROOT;
      const [high, low] = isRoot ? [nodeHigh, nodeLow] : [found.high, found.low];
      this.#found({ high, low, channel, device }, found.on);
    }
    this.#tell();
  }

  #found(watched: Watched, on: boolean): void {
    const key = keyOf(watched.high, watched.low);
    if (on && this.#wanted.size >= EVENT_WATCHES_MAX) {
      this.#refused++;
      return;
    }
    if (on) this.#wanted.set(key, watched);
    else this.#wanted.delete(key);
    this.#untold.set(key, watched);
  }

  /** The superblock of a directory that is watched. */
  superblockOf(high: number, low: number): Watched | undefined {
    return this.#wanted.get(keyOf(high, low));
  }

  /** The server may have forgotten what is watched. */
  askAgain(): void {
    for (const [key, node] of this.#wanted) this.#untold.set(key, node);
  }

  /**
   * Whether `notice`, that a name is no longer true, has to wait: the watches of an inode
   * end only with a name that the kernel still believes.
   */
  takes(notice: Notice, channel: number): boolean {
    if (!this.#names.has(nameKey(notice.high, notice.low, notice.name))) return false;
    this.#later.push({ notice, channel });
    return true;
  }

  /** The server tells of something that happened. */
  heard(happened: Happened): void {
    this.#heard++;
    const { kinds, high, low, name } = happened;
    if ((kinds & (DELETE | MOVE)) !== 0) this.#names.add(nameKey(high, low, name));
    const waiting = this.#waiting.length - this.#next;
    if (waiting === 0 && this.#channel.put(happened)) {
      signalEventfd(this.#wakeFd);
    } else if (waiting > 0 && isSame(happened, this.#waiting.at(-1) as Happened)) {
      // As inotify(7) takes the same event twice in a row for one.
    } else if (waiting < WAITING_MAX) {
      this.#waiting.push(happened);
    } else {
      this.#lost++;
    }
  }

  /** Goes on with what had no room; what there is, for `qtfs info`. */
  settle(): void {
    const { channels } = this.#client.fuse;
    if (channels.count !== this.#channels) this.#prune();
    this.#channels = channels.count;
    this.#tell();
    const before = this.#next;
    while (this.#next < this.#waiting.length) {
      if (!this.#channel.put(this.#waiting[this.#next] as Happened)) break;
      this.#next++;
    }
    if (this.#next > before) signalEventfd(this.#wakeFd);
    if (this.#next > this.#waiting.length / 2) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    if (this.#channel.isEmpty && this.#names.size > 0) {
      this.#names.clear();
      for (const { notice, channel } of this.#later) {
        const { kind, high, low, name } = notice;
        putNotice(this.#client, this.#notices, channel, kind, high, low, name);
      }
      this.#later = [];
    }
    const { counters } = this.#client;
    counters.gauge("EVENT_WATCHES", this.#wanted.size);
    counters.gauge("EVENTS", this.#heard);
    counters.gauge("EVENTS_LOST", this.#lost + this.#channel.failed);
    counters.gauge("WATCHES_REFUSED", this.#refused);
  }

  /** Superblocks have come or gone: nothing is watched in those that have. */
  #prune(): void {
    const { channels } = this.#client.fuse;
    for (const [key, { channel }] of this.#wanted) {
      if (channel !== 0 && channels.fdOf(channel) < 0) this.#wanted.delete(key);
    }
  }

  /** Whether anything waits for room. */
  get waits(): boolean {
    return this.#waiting.length - this.#next + this.#untold.size + this.#names.size > 0;
  }

  #tell(): void {
    const c = this.#client;
    for (const [key, { high, low }] of this.#untold) {
      if (!c.hasSlot) return;
      const w = c.askForOurselves(Op.WATCH, high, low);
      w.uint64(high, low);
      w.uint(this.#wanted.has(key) ? 1 : 0);
      c.send();
      this.#untold.delete(key);
    }
  }
}

function keyOf(high: number, low: number): string {
  return `${high}:${low}`;
}

function nameKey(high: number, low: number, name: string): string {
  return `${keyOf(high, low)}/${name}`;
}

/** Whether two happenings are told as one: the data of the same file was written again. */
function isSame(one: Happened, other: Happened): boolean {
  return (
    one.kinds === MODIFY &&
    other.kinds === MODIFY &&
    one.name === other.name &&
    one.low === other.low &&
    one.high === other.high
  );
}

/**
 * The thread that finds out what programs watch on the mount (inotify), and tells them
 * what happens to it on the HOST by doing it once more on the mount (watches/ghostops.ts), where
 * the reactor answers it without doing anything (watches/ghosts.ts).
 *
 * It waits for the mount like any program, so it holds nothing that the mount's end
 * waits for: it has a table of descriptors of its own, without /dev/fuse, and what it
 * has open of the mount it has only while somebody watches.
 */
import { drainEventfd, POLLIN, PollSet } from "../sys/poll.ts";
import { gettid, keepOnlyFd } from "../sys/process.ts";
import { NoticeQueue } from "./noticequeue.ts";
import { type Found, GhostChannel } from "./watches/ghostchannel.ts";
import type { GhostMount } from "./watches/ghostmount.ts";
import { GhostMounts } from "./watches/ghostmounts.ts";
import { GhostOps } from "./watches/ghostops.ts";
import { WATCHERS_MAX, WatchEnds } from "./watches/watchends.ts";
import { type WatchedNode, WatchScan } from "./watches/watchscan.ts";
import { RINGS_MAX, WatchWake } from "./watches/watchwake.ts";

/** What main gives the thread. */
export interface GhostThreadData {
  channel: SharedArrayBuffer;
  notices: SharedArrayBuffer;
  /** An eventfd that the reactor signals. */
  wakeFd: number;
  target: string;
}

/** How often all processes are looked at while there is something to tell: a process that goes on does not say that it watches no more. */
const LOOK_ALL_MS = 2000;
/** How often where the kernel does not tell who begins to, either. */
const LOOK_BLIND_MS = 1000;
/** Looks take at most this share of the time. */
const LOOK_SHARE = 1 / 20;
/** How long the kernel may take to forget what a happening made untrue: no longer than it waits for a request. */
const NOTICE_MS = 2000;

declare const self: { onmessage: ((event: { data: GhostThreadData }) => void) | null };

class GhostThread {
  readonly #wakeFd: number;
  readonly #channel: GhostChannel;
  readonly #notices: NoticeQueue;
  readonly #mounts: GhostMounts;
  readonly #ops: GhostOps;
  readonly #scan = new WatchScan();
  readonly #wake = WatchWake.open();
  readonly #ends = new WatchEnds();
  readonly #polls = new PollSet(2 + RINGS_MAX + WATCHERS_MAX);
  /** Nodes that the reactor knows to be watched. */
  #told = new Map<string, WatchedNode>();
  /** Processes to look at; undefined: all. */
  #due: Set<number> | undefined;
  /** When all were looked at last, and when to look again at the earliest. */
  #lookedAllMs = Number.NEGATIVE_INFINITY;
  #notBeforeMs = 0;
  #retryMs = 0;

  constructor(data: GhostThreadData) {
    this.#wakeFd = data.wakeFd;
    this.#channel = new GhostChannel(data.channel);
    this.#notices = new NoticeQueue(data.notices);
    this.#mounts = new GhostMounts(data.target);
    this.#ops = new GhostOps(this.#channel);
  }

  run(): never {
    this.#channel.tid = gettid();
    while (true) {
      this.#look();
      if (this.#repeat()) continue;
      this.#sleep();
    }
  }

  /** Repeats what happened; whether anything had. */
  #repeat(): boolean {
    const happened = this.#channel.peek();
    if (happened === undefined) return false;
    this.#notices.waitFor(happened.notices, NOTICE_MS);
    const mount = this.#mounts.opened(happened.device);
    if (mount === undefined || this.#ops.repeat(mount, happened) < 0) this.#channel.countFailure();
    this.#channel.done();
    if (performance.now() - this.#lookedAllMs >= LOOK_ALL_MS) this.#due = undefined;
    return true;
  }

  #sleep(): void {
    const polls = this.#polls;
    polls.clear();
    const wake = polls.add(this.#wakeFd, POLLIN);
    const unmounted = this.#mounts.addTo(polls);
    this.#wake?.addTo(polls);
    this.#ends.addTo(polls);
    polls.wait(this.#waitMs());
    if (polls.revents(wake) !== 0) drainEventfd(this.#wakeFd);
    if (polls.revents(unmounted) !== 0) this.#mounts.leaveUnmounted();
    const pids = this.#wake?.take();
    for (const pid of this.#ends.ended(polls)) this.#due?.add(pid);
    if (this.#wake === undefined) return;
    if (pids === undefined) this.#due = undefined;
    else for (const pid of pids) this.#due?.add(pid);
  }

  #waitMs(): number {
    const now = performance.now();
    if (this.#due === undefined || this.#due.size > 0) return Math.max(0, this.#notBeforeMs - now);
    // Whoever begins to watch is told of.
    return this.#wake === undefined ? Math.max(0, this.#lookedAllMs + LOOK_BLIND_MS - now) : -1;
  }

  /** Looks for watches if there may be others than before. */
  #look(): void {
    const now = performance.now();
    if (now < this.#notBeforeMs) return;
    const isBlind = this.#wake === undefined;
    if (isBlind && now - this.#lookedAllMs >= LOOK_BLIND_MS) this.#due = undefined;
    if (this.#due?.size === 0) return;
    if (this.#due === undefined) this.#lookedAllMs = now;
    this.#scan.look(this.#due);
    this.#due = new Set();
    this.#ends.set(this.#scan.pids);
    this.#tell(this.#scan.nodes);
    const endMs = performance.now();
    this.#notBeforeMs = Math.max(this.#retryMs, endMs + (endMs - now) / LOOK_SHARE);
  }

  /** Tells the reactor what is watched now. */
  #tell(nodes: ReadonlyMap<string, WatchedNode>): void {
    const changes: Found[] = [];
    for (const [key, node] of this.#told) if (!nodes.has(key)) changes.push({ ...node, on: false });
    for (const [key, node] of nodes) if (!this.#told.has(key)) changes.push({ ...node, on: true });
    this.#told = new Map(nodes);
    for (const device of new Set(changes.map((one) => one.device))) {
      // Nobody's, or unmounted and in use by its watchers alone: there is nothing to tell them.
      const mount = this.#mounts.of(device);
      if (mount === undefined) {
        if (this.#mounts.has(device)) this.#again(device);
        continue;
      }
      for (const one of changes) if (one.device === device) this.#put(one, mount);
      mount.ring();
    }
    this.#mounts.keep(new Set([...nodes.values()].map(({ device }) => device)));
  }

  /** Nothing could be told of a superblock: its server may be away. */
  #again(device: number): void {
    for (const [key, node] of this.#told) if (node.device === device) this.#told.delete(key);
    this.#due = undefined;
    this.#retryMs = performance.now() + LOOK_BLIND_MS;
  }

  #put(found: Found, mount: GhostMount): void {
    const { high, low, on } = found;
    if (on) mount.learn(high, low);
    else mount.forget(high, low);
    if (this.#channel.putFound(found)) return;
    mount.ring();
    if (!this.#channel.putFound(found)) this.#channel.countFailure();
  }
}

self.onmessage = ({ data }) => {
  keepOnlyFd(data.wakeFd);
  new GhostThread(data).run();
};

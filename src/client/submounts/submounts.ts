/**
 * The HOST's mounts below the directory that is mounted, as superblocks of their own at
 * the same places: what the server says there is, is made to be here (DESIGN §4). A
 * superblock that somebody has unmounted here stays so until the HOST's mount is gone.
 */
import { mounts } from "../../info/mountinfo.ts";
import { FILE_SYSTEM_TYPE } from "../../info/select.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import type { MountOptions, OwnOptions } from "../options.ts";
import type { ChannelStore, KeptChannel } from "./channelstore.ts";
import { type HostMount, isSameMount, pathText } from "./hostmount.ts";
import { type HostMountNews, SUBMOUNTS_MAX } from "./hostmounts.ts";
import { type Allowed, ATTRIBUTES, attributesOf } from "./mountattributes.ts";
import { Mounter, type Outcome } from "./mounter.ts";
import { type Order, OrderKind } from "./orders.ts";
import { makeFor, NOWHERE, type Submount } from "./submount.ts";

/** When to look again for a directory that is to be mounted on. */
const MISSING_MS = [20, 100, 500] as const;

export interface SubmountsOptions {
  mount: Omit<MountOptions, OwnOptions>;
  isReadOnly: () => boolean;
  log: MountOptions["log"];
  /** Has the mount's thread do something. */
  order: (order: Order) => void;
  /** Where channels are kept for the next process. */
  store: ChannelStore;
}

/** What people see of one. */
export interface SubmountReport {
  path: string;
  type: string;
  source: string;
}

export class Submounts {
  readonly #options: SubmountsOptions;
  readonly #mounter: Mounter;
  readonly #byMount = new Map<number, Submount>();
  readonly #byChannel = new Map<number, Submount>();
  /** Channels that the mount's thread has been told to close. */
  readonly #closing = new Set<number>();
  /** Mounts of the HOST that are not to be here. */
  readonly #dismissed = new Map<number, string>();
  #wanted: HostMount[] | undefined;
  #settling: Promise<void> | undefined;
  #nextChannel = 1;
  #isClosing = false;

  constructor(options: SubmountsOptions) {
    this.#options = options;
    this.#mounter = new Mounter(options.mount.target);
  }

  /** Goes on with superblocks that another process has left. */
  adopt(kept: readonly KeptChannel[]): void {
    for (const { channel, fuseFd, host, id, high, low } of kept) {
      const rooted = Promise.withResolvers<boolean>();
      rooted.resolve(true);
      const one = { host, channel, fuseFd, mountFd: NOWHERE, id, high, low, rooted };
      this.#byMount.set(host.mount, one);
      this.#byChannel.set(channel, one);
    }
    for (const one of this.#byChannel.values()) this.#keep(one);
  }

  /** Takes note of what the mount's thread says. */
  hear(news: HostMountNews): void {
    if (news.kind === "mounts") {
      this.#wanted = news.mounts;
      this.#settling ??= this.#settle();
      return;
    }
    const one = this.#byChannel.get(news.channel);
    if (one === undefined) return;
    if (news.kind === "closed") {
      this.#closing.delete(news.channel);
      this.#byChannel.delete(news.channel);
      close(one.fuseFd);
    } else if (news.kind === "ended") {
      if (!this.#closing.has(news.channel)) this.#ended(one);
    } else if (news.kind === "rootless") {
      one.rooted.resolve(false);
    } else {
      one.high = news.high;
      one.low = news.low;
      if (one.id !== 0) this.#keep(one);
      one.rooted.resolve(true);
    }
  }

  /** Takes all of them away, the deepest first. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wanted = [];
    this.#settling ??= this.#settle();
    await this.#settling;
  }

  report(): SubmountReport[] {
    return [...this.#byMount.values()].map(({ host: { path, type, source } }) => ({
      path,
      type,
      source,
    }));
  }

  /** Makes what is here what is wanted, until nothing else is. */
  async #settle(): Promise<void> {
    for (let wanted = this.#take(); wanted !== undefined; wanted = this.#take()) {
      try {
        await this.#removeOthers(wanted);
        await this.#addNew(wanted);
      } catch (error) {
        this.#options.log("error", `Cannot follow the HOST's mounts: ${(error as Error).stack}`);
      }
    }
    this.#settling = undefined;
  }

  #take(): HostMount[] | undefined {
    const wanted = this.#isClosing && this.#wanted !== undefined ? [] : this.#wanted;
    this.#wanted = undefined;
    return wanted;
  }

  /** Takes away what the HOST has no more, or somewhere else. */
  async #removeOthers(wanted: readonly HostMount[]): Promise<void> {
    const there = new Map(wanted.map((host) => [host.mount, host]));
    for (const [mount, path] of this.#dismissed) {
      if (there.get(mount)?.path !== path) this.#dismissed.delete(mount);
    }
    const gone = [...this.#byMount.values()].filter(({ host }) => {
      const now = there.get(host.mount);
      return now === undefined || !isSameMount(now, host);
    });
    // What was mounted last may be on what was mounted before.
    for (const one of gone.reverse()) await this.#remove(one);
    for (const one of this.#byMount.values()) {
      await this.#follow(one, there.get(one.host.mount) ?? one.host);
    }
  }

  /** Allows what the HOST's mount allows by now. */
  async #follow(one: Submount, host: HostMount): Promise<void> {
    const wanted = attributesOf(host.flags, this.#allowed);
    const isSame = wanted === attributesOf(one.host.flags, this.#allowed);
    if (one.id === 0 || isSame) return;
    const { result } = await this.#mounter.set(host.path, one.id, wanted & ATTRIBUTES);
    // Where files are open for writing it stays as it was, and the server refuses.
    if (result !== 0) return;
    one.host = host;
    this.#keep(one);
  }

  /** As the first superblock was asked for. */
  get #allowed(): Allowed {
    return { ...this.#options.mount, readOnly: this.#options.isReadOnly() };
  }

  async #addNew(wanted: readonly HostMount[]): Promise<void> {
    const here = new Set([0, ...this.#byMount.keys()]);
    // Parents come before what is mounted on them.
    const isNew = ({ mount, parent }: HostMount) => {
      if (here.has(mount) || !here.has(parent) || this.#dismissed.has(mount)) return false;
      here.add(mount);
      return true;
    };
    // The server is asked for all roots before the first is waited for.
    const made = wanted.filter(isNew).map((host) => this.#make(host));
    for (const one of made) {
      if (one !== undefined) await this.#attach(one);
    }
  }

  /** A superblock for `host`, which is nowhere yet; undefined where the kernel will not. */
  #make(host: HostMount): Submount | undefined {
    const { mount } = this.#options;
    const made = makeFor(host, { ...mount, ...this.#allowed });
    const channel = this.#freeChannel();
    if (typeof made === "number" || channel === undefined) {
      const why = typeof made === "number" ? errnoText(-made) : "there are too many";
      this.#options.log("warn", `Cannot mount what the HOST has at ${pathText(host)}: ${why}`);
      this.#dismissed.set(host.mount, host.path);
      if (typeof made !== "number") for (const fd of Object.values(made)) close(fd);
      return undefined;
    }
    const rooted = Promise.withResolvers<boolean>();
    const one = { host, channel, ...made, id: 0, high: 0, low: 0, rooted };
    this.#byMount.set(host.mount, one);
    this.#byChannel.set(channel, one);
    const { fuseFd } = made;
    this.#options.order({ kind: OrderKind.OPEN, channel, fd: fuseFd, mount: host.mount });
    return one;
  }

  async #attach(one: Submount): Promise<void> {
    const isThere = await one.rooted.promise;
    const parent = isThere ? await this.#parentId(one.host) : 0;
    if (parent === 0) return this.#giveUp(one);
    const { path } = one.host;
    let outcome = await this.#attachAt(one, parent);
    for (const delayMs of MISSING_MS) {
      if (outcome.result !== -E.ENOENT) break;
      // The kernel may still believe that there is no such directory.
      await Bun.sleep(delayMs);
      outcome = await this.#attachAt(one, parent);
    }
    if (outcome.result === -E.EBUSY && this.#isOrphan(outcome.found)) {
      // A process that died has left a superblock there that nobody serves.
      await this.#mounter.detach(path, outcome.found);
      outcome = await this.#attachAt(one, parent);
    }
    if (outcome.result !== 0) {
      const why = errnoText(-outcome.result);
      this.#options.log(
        "info",
        `What the HOST has mounted at ${pathText(one.host)} is not here: ${why}`,
      );
      this.#dismissed.set(one.host.mount, path);
      return this.#giveUp(one);
    }
    one.id = outcome.found;
    this.#keep(one);
  }

  async #attachAt(one: Submount, parent: number): Promise<Outcome> {
    if (one.mountFd === NOWHERE) return { result: -E.ENODEV, found: 0, closed: true };
    const outcome = await this.#mounter.attach(one.mountFd, one.host.path, parent);
    if (outcome.closed) one.mountFd = NOWHERE;
    return outcome;
  }

  /** mnt_id of what `host` is to be put on, or 0 if that is not here. */
  async #parentId({ parent }: HostMount): Promise<number> {
    if (parent !== 0) return this.#byMount.get(parent)?.id ?? 0;
    const { result, found } = await this.#mounter.look("");
    return result === 0 ? found : 0;
  }

  /** Whether a mount of this file system is nobody's: not the first one, nor one of those here. */
  #isOrphan(id: number): boolean {
    return this.#orphanCandidates().has(id);
  }

  #orphanCandidates(): Set<number> {
    const known = new Set([...this.#byMount.values()].map((one) => one.id));
    const below = `${this.#options.mount.target}/`;
    const ours = mounts().filter(
      ({ type, mountpoint }) => type === FILE_SYSTEM_TYPE && mountpoint.startsWith(below),
    );
    return new Set(ours.map(({ id }) => id).filter((id) => !known.has(id)));
  }

  /** It never came into the tree: its superblock goes with its mount. */
  #giveUp(one: Submount): void {
    if (one.mountFd !== NOWHERE) close(one.mountFd);
    one.mountFd = NOWHERE;
    this.#byMount.delete(one.host.mount);
    this.#ended(one);
  }

  async #remove(one: Submount): Promise<void> {
    this.#byMount.delete(one.host.mount);
    if (one.id === 0) return this.#giveUp(one);
    const { result } = await this.#mounter.detach(one.host.path, one.id);
    if (result !== 0 && result !== -E.ENOENT && result !== -E.EINVAL) {
      const why = errnoText(-result);
      this.#options.log("warn", `Cannot unmount ${pathText(one.host)}: ${why}`);
    }
    // Whoever has a file of it open is served until the superblock ends.
  }

  /** The superblock is gone. */
  #ended(one: Submount): void {
    this.#options.store.remove(one.channel);
    const { channel, fuseFd: fd, host } = one;
    this.#closing.add(channel);
    this.#options.order({ kind: OrderKind.CLOSE, channel, fd, mount: host.mount });
    if (this.#byMount.get(host.mount) !== one) return;
    this.#byMount.delete(host.mount);
    // Somebody has unmounted it here.
    this.#dismissed.set(host.mount, host.path);
  }

  #keep({ channel, fuseFd, host, id, high, low }: Submount): void {
    this.#options.store.put({ channel, fuseFd, host, id, high, low });
  }

  #freeChannel(): number | undefined {
    for (let tried = 0; tried < SUBMOUNTS_MAX; tried++) {
      const channel = this.#nextChannel;
      this.#nextChannel = (channel % SUBMOUNTS_MAX) + 1;
      if (!this.#byChannel.has(channel)) return channel;
    }
    return undefined;
  }
}

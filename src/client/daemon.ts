/** A mount as main sees it: its thread, libfuse's mount, and how it ends. */
import { realpathSync, rmSync, statSync } from "node:fs";
import { adoptFuse, type FuseMount, mountFuse } from "../fuse/libfuse.ts";
import { CONTROL_DIRECTORY } from "../info/control.ts";
import { Counters } from "../info/counters.ts";
import { machineFacts } from "../info/facts.ts";
import { type Stuck, Watchdog } from "../info/watchdog.ts";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { eventfd } from "../sys/poll.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import type { Facts } from "../wire/hello.ts";
import { claimMount } from "./claim.ts";
import { describeDoing } from "./doing.ts";
import { FileSystemList } from "./filesystems.ts";
import { startGhosts } from "./ghoststarter.ts";
import { FirstKeeper, type Kept } from "./keeper.ts";
import type { LinkNews } from "./link.ts";
import type { AttachData, MountMessage, ServeData } from "./mount.worker.ts";
import { NoticeQueue } from "./noticequeue.ts";
import type { MountOptions, OwnOptions } from "./options.ts";
import { createRecord } from "./record.ts";
import {
  beginSettings,
  exchangeSettings,
  leaveLastWords,
  readSettings,
  type Settings,
} from "./settings.ts";
import type { MountSnapshot } from "./snapshot.ts";
import { ChannelStore, type KeptChannel } from "./submounts/channelstore.ts";
import { OrderKind, Orders } from "./submounts/orders.ts";
import { Submounts } from "./submounts/submounts.ts";
import { countTakeover, Succession } from "./succession.ts";
import { deviceOf, mountFlags, setReadahead, VALIDITY } from "./superblock.ts";
import { TwinStarter } from "./twins/starter.ts";
import { GhostChannel } from "./watches/ghostchannel.ts";

/** How long a process waits for the end of another that serves the mount still. */
const CLAIM_MS = 10_000;
/** How long the HOST's mounts may take to be taken away in order, when the mount is to end. */
const SUBMOUNTS_END_MS = 5000;
/** How long watchers may hold up the mount's end. */
const GHOSTS_END_MS = 3000;

/** In place of a descriptor. */
const NONE = -1;

export interface MountDaemon {
  snapshot(): MountSnapshot;
  /** Takes the mount away, lazily where it is busy. */
  unmount(): Promise<void>;
  /** Has `command` take the mount over and ends this process soon; the pid it will have. */
  handOver(command: readonly string[]): number;
  /** The process is about to end for good: nobody is to take over. */
  letGo(): void;
  /** Resolves when the mount has ended, with the reason if it failed. */
  finished: Promise<string | undefined>;
}

/** Mounts; resolves when the mount is usable, rejects with a sentence for people. */
export function startMount(options: MountOptions): Promise<MountDaemon> {
  const isBare = (address: Address) => address.kind === "tcp" && address.identity === undefined;
  const tcp = options.servers.find(isBare);
  if (tcp !== undefined && !options.insecure) {
    throw new Error(
      `Cannot use ${formatAddress(tcp)} without authentication: give the identity that the server ` +
        "has enrolled (identity=FILE), or add the option insecure on a network you trust",
    );
  }
  const { identity, target } = options;
  // It is read again when the connection is lost, and then the mount does not answer.
  if (identity !== undefined && `${realpathSync(identity)}/`.startsWith(`${target}/`)) {
    throw new Error(`The identity ${identity} lies beneath ${target}: put it elsewhere`);
  }
  if (!statSync(options.target).isDirectory()) {
    throw new Error(`Cannot mount at ${options.target}: it is not a directory`);
  }
  return new Mount(options).start();
}

/**
 * Takes over the mount whose descriptors a daemon left that has died; resolves
 * when its requests are being served again.
 */
export function takeOverMount(
  kept: Kept,
  rest: Pick<MountOptions, OwnOptions>,
): Promise<MountDaemon> {
  const first = new FirstKeeper();
  // Whoever cannot take over is not to be followed by others who cannot.
  process.once("exit", () => first.dismiss());
  if (!claimMount(kept.record, CLAIM_MS)) throw new Error("Another process serves the mount");
  const { lastWords, ...settings } = readSettings(kept.record);
  if (lastWords !== undefined) rest.log("error", `The process before ended itself: ${lastWords}`);
  const takeoversMs = countTakeover(settings);
  const mount = new Mount({ ...settings.options, ...rest });
  return mount.takeOver(kept, { ...settings, takeoversMs }, first);
}

class Mount {
  readonly #options: MountOptions;
  readonly #worker = new Worker(new URL("./mount.worker.ts", import.meta.url).href);
  readonly #noticeWorker = new Worker(new URL("./notice.worker.ts", import.meta.url).href);
  readonly #notices = new NoticeQueue();
  readonly #ghosts = new GhostChannel();
  readonly #counters = new Counters();
  readonly #watchdog = new Watchdog({ stuck: (stuck) => this.#stuck(stuck) });
  readonly #facts = machineFacts();
  readonly #done = Promise.withResolvers<string | undefined>();
  readonly #usable = Promise.withResolvers<MountDaemon>();
  readonly #recovery = { losses: 0, serverRestarts: 0, sessionsLost: 0, lastAwayMs: 0 };
  readonly #fileSystems = new FileSystemList();
  #serverFacts: Facts | undefined;
  #readOnly = false;
  #connected = true;
  #takeovers = 0;
  #mount: FuseMount | undefined;
  #recordFd = -1;
  readonly #succession: Succession;
  readonly #orders: Orders;
  readonly #submounts: Submounts;
  /** Starts the twin process; undefined where there is to be none. */
  #twins: TwinStarter | undefined;
  #twinsPid: number | undefined;
  /** Where the channels of superblocks beside the first are kept for the next process. */
  readonly #channels = new ChannelStore();

  constructor(options: MountOptions) {
    this.#options = options;
    this.#worker.onmessage = (event: MessageEvent<MountMessage>) => {
      try {
        this.#message(event.data);
      } catch (error) {
        this.#worker.terminate();
        this.#usable.reject(error);
      }
    };
    this.#worker.onerror = (event) =>
      this.#failed(`The mount's thread has failed: ${event.message}`);
    this.#succession = new Succession(options, () => this.#kept());
    const wakeFd = eventfd();
    if (wakeFd < 0) throw new Error(`Cannot make an eventfd: errno ${-wakeFd}`);
    this.#orders = new Orders(wakeFd);
    this.#submounts = new Submounts({
      mount: options,
      isReadOnly: () => this.#readOnly,
      log: options.log,
      order: (order) => this.#orders.put(order),
      store: this.#channels,
    });
    this.#watchdog.add("reactor", this.#counters.heartbeat, describeDoing);
  }

  start(): Promise<MountDaemon> {
    const { proc: isProc, servers, source, timeoutMs } = this.#options;
    const splits = this.#splits;
    const facts = this.#facts;
    this.#post({ kind: "attach", servers, source, facts, timeoutMs, splits, isProc });
    return this.#usable.promise;
  }

  takeOver(kept: Kept, settings: Settings, first: FirstKeeper): Promise<MountDaemon> {
    this.#takeovers = settings.takeoversMs.length;
    this.#readOnly = settings.readOnly;
    this.#serverFacts = settings.serverFacts;
    this.#recordFd = kept.record;
    this.#mount = adoptFuse(kept.fuse, this.#options.target);
    if (this.#mayTwin) this.#twins = new TwinStarter(kept.twins);
    const channels = ChannelStore.takeAll(kept.channels);
    this.#submounts.adopt(channels);
    // At once: should this process die as well, there is another.
    this.#succession.keep();
    if (this.#succession.isKept) first.dismiss();
    exchangeSettings(this.#recordFd, settings);
    this.#serve(settings, channels);
    return this.#usable.promise;
  }

  /** Whether the HOST's mounts get superblocks of their own, which only root can make. */
  get #splits(): boolean {
    return !this.#options.flat && process.geteuid?.() === 0;
  }

  /** Whether sockets and FIFOs of the HOST can be served, which only root can. */
  get #mayTwin(): boolean {
    return this.#options.twins.length > 0 && process.geteuid?.() === 0;
  }

  #post(message: AttachData | ServeData): void {
    this.#worker.postMessage(message);
  }

  #message(message: MountMessage): void {
    switch (message.kind) {
      case "attached":
        this.#attached(message);
        break;
      case "failed":
        this.#worker.terminate();
        this.#usable.reject(new Error(message.reason));
        break;
      case "ready":
        setReadahead(this.#options.target);
        if (!this.#succession.isKept) this.#succession.keep();
        this.#usable.resolve(this.#daemon());
        break;
      case "log":
        this.#options.log(message.level, message.text);
        break;
      case "away":
        this.#connected = false;
        this.#recovery.losses++;
        break;
      case "back":
        this.#back(message);
        break;
      case "mounts":
      case "rooted":
      case "rootless":
      case "ended":
      case "closed":
        this.#submounts.hear(message);
        break;
      case "twinsWanted":
        this.#startTwins();
        break;
      case "twinsHere":
        this.#twinsPid = message.pid;
        break;
      case "twinsEnded":
        rmSync(`${CONTROL_DIRECTORY}/twins-${this.#twinsPid}.sock`, { force: true });
        this.#twinsPid = undefined;
        this.#renewTwins();
        break;
      case "fileSystem":
        this.#fileSystems.add(message.met);
        break;
      case "done":
        this.#watchdog.stop();
        this.#succession.dismiss();
        this.#mount?.unmount();
        this.#done.resolve(undefined);
    }
  }

  #startTwins(): void {
    try {
      this.#twins?.start(this.#options.twins);
    } catch (error) {
      this.#options.log("error", `Cannot start the twin process: ${(error as Error).message}`);
      this.#orders.put({ kind: OrderKind.TWINS, channel: 0, fd: NONE, mount: 0 });
    }
  }

  /** The twin process has ended: there is to be another when it is needed. */
  #renewTwins(): void {
    const fd = this.#twins?.renew() ?? NONE;
    this.#orders.put({ kind: OrderKind.TWINS, channel: 0, fd, mount: 0 });
    // Who holds the mount has the end of the channel with the one that has ended.
    if (fd >= 0 && this.#succession.isKept) this.#succession.keep();
  }

  #back(news: Extract<LinkNews, { kind: "back" }>): void {
    this.#connected = true;
    if (news.restarted) this.#recovery.serverRestarts++;
    if (news.anew) this.#recovery.sessionsLost++;
    // What there is now is told again.
    this.#fileSystems.clear();
    this.#recovery.lastAwayMs = news.awayMs;
  }

  #daemon(): MountDaemon {
    return {
      snapshot: () => this.#snapshot(),
      unmount: () => this.#unmount(),
      handOver: (command) => this.#succession.handOver(command),
      letGo: () => this.#succession.dismiss(),
      finished: this.#done.promise,
    };
  }

  #stuck({ text, canEnd }: Stuck): void {
    if (canEnd) this.#failed(text);
    // A process of which a thread cannot be ended holds the mount until it can.
    else this.#options.log("error", text);
  }

  /** The thread is of no use any more: another process may do better. */
  #failed(reason: string): void {
    this.#watchdog.stop();
    this.#options.log("error", reason);
    if (this.#succession.isKept) {
      leaveLastWords(this.#recordFd, reason);
      process.kill(process.pid, "SIGKILL");
    }
    // The kernel must not wait for a thread that is gone.
    this.#mount?.unmount();
    this.#done.resolve(reason);
    this.#usable.reject(new Error(reason));
  }

  #attached({ readOnly, serverFacts, session }: Extract<MountMessage, { kind: "attached" }>): void {
    const own = this.#options;
    const { log: _log, successor: _successor, store: _store, twins: _twins, ...options } = own;
    if (this.#mayTwin) this.#twins = new TwinStarter();
    this.#serverFacts = serverFacts;
    this.#readOnly = readOnly || this.#options.readOnly;
    this.#recordFd = createRecord();
    this.#mount = mountFuse(options.target, mountFlags(this.#options, this.#readOnly));
    const common = { options, session, serverFacts };
    const settings = { ...common, readOnly: this.#readOnly, mountedAtMs: Date.now() };
    const all = { ...settings, takeoversMs: [] };
    if (this.#recordFd >= 0) {
      beginSettings(this.#recordFd, all);
      claimMount(this.#recordFd, 0);
    }
    this.#serve(all);
  }

  #serve(settings: Settings, channels?: readonly KeptChannel[]): void {
    const { cache, hard, proc, timeoutMs, servers, source, target } = this.#options;
    const fuseFd = (this.#mount as FuseMount).fd;
    this.#noticeWorker.postMessage({ queue: this.#notices.shared, fuseFd });
    const shared = { channel: this.#ghosts.shared, notices: this.#notices.shared };
    const wakeFd = this.#readOnly ? -E.EPERM : startGhosts(this.#options, shared);
    this.#post({
      kind: "serve",
      channels,
      splits: this.#splits,
      orders: { shared: this.#orders.shared, wakeFd: this.#orders.wakeFd },
      fuseFd,
      twinsFd: this.#twins?.fd ?? NONE,
      target,
      recordFd: this.#recordFd,
      session: settings.session,
      servers,
      source,
      facts: this.#facts,
      cache,
      proc: proc ? { device: deviceOf(target) } : undefined,
      validity: { ...VALIDITY[cache], deviceFiles: this.#options.deviceFiles },
      containsLinks: this.#options.containsLinks,
      counters: this.#counters.shared,
      notices: this.#notices.shared,
      ghosts: this.#ghosts.shared,
      wakeFd,
      timeoutMs: hard ? 0 : timeoutMs,
    });
  }

  /** What the next process needs, once there is a record of it. */
  #kept(): Kept | undefined {
    if (this.#recordFd < 0 || this.#mount === undefined) return undefined;
    const { fd: channels } = this.#channels;
    const twins = this.#twins?.fd ?? NONE;
    return { fuse: this.#mount.fd, record: this.#recordFd, channels, twins };
  }

  async #unmount(): Promise<void> {
    // With the thread still serving, so that an orderly unmount can end orderly.
    await Promise.race([this.#submounts.close(), Bun.sleep(SUBMOUNTS_END_MS)]);
    const busy = umount2(cstring(this.#options.target), UMOUNT_NOFOLLOW) !== 0;
    this.#succession.dismiss();
    if (busy) this.#mount?.unmount();
    await Promise.race([this.#done.promise, Bun.sleep(GHOSTS_END_MS)]);
    // The ghosts' thread has the superblock in use, and waits for a server that is silent.
    if (this.#ghosts.repeated !== undefined) this.#done.resolve(undefined);
    await this.#done.promise;
  }

  #snapshot(): MountSnapshot {
    return {
      source: this.#options.source,
      target: this.#options.target,
      server: this.#options.servers.map(formatAddress).join(", "),
      identity: this.#options.identity,
      readOnly: this.#readOnly,
      cache: this.#options.cache,
      connected: this.#connected,
      fileSystems: this.#fileSystems.all(),
      recovery: { ...this.#recovery, takeovers: this.#takeovers },
      keeper: this.#succession.pid,
      twinsPid: this.#twinsPid,
      splits: this.#splits,
      submounts: this.#submounts.report(),
      inStore: this.#succession.isKept && this.#succession.pid === undefined,
      threads: this.#watchdog.threads(),
      serverFacts: this.#serverFacts ?? this.#facts,
      clientFacts: this.#facts,
      totals: this.#counters.gauges(),
      operations: Counters.figures([this.#counters]),
    };
  }
}

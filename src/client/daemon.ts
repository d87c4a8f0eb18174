/** A mount as main sees it: its thread, libfuse's mount, and how it ends. */
import { realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { adoptFuse, type FuseMount, mountFuse } from "../fuse/libfuse.ts";
import { CONTROL_DIRECTORY } from "../info/control.ts";
import { Counters, type OpFigures } from "../info/counters.ts";
import { machineFacts } from "../info/facts.ts";
import { mounts } from "../info/mountinfo.ts";
import { type Stuck, type ThreadReport, Watchdog } from "../info/watchdog.ts";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { eventfd } from "../sys/poll.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import type { Facts } from "../wire/hello.ts";
import type { Validity } from "./answers.ts";
import { BULK_MAX } from "./bulk.ts";
import { claimMount } from "./claim.ts";
import type { CacheMode } from "./client.ts";
import { describeDoing } from "./doing.ts";
import { type FileSystemFigures, FileSystemList } from "./filesystems.ts";
import type { GhostThreadData } from "./ghost.worker.ts";
import { FirstKeeper, type Guardian, Keeper, type Kept } from "./keeper.ts";
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
import { ChannelStore, type KeptChannel } from "./submounts/channelstore.ts";
import { OrderKind, Orders } from "./submounts/orders.ts";
import { type SubmountReport, Submounts } from "./submounts/submounts.ts";
import { TwinStarter } from "./twins/starter.ts";
import { GhostChannel } from "./watches/ghostchannel.ts";

/** How often a mount may be taken over in a short time: one that dies at once each time is given up. */
const TAKEOVERS_MAX = 10;
const TAKEOVERS_WITHIN_MS = 10_000;
/** How long a process waits for the end of another that serves the mount still. */
const CLAIM_MS = 10_000;
/** How long the HOST's mounts may take to be taken away in order, when the mount is to end. */
const SUBMOUNTS_END_MS = 5000;
/** How long watchers may hold up the mount's end. */
const GHOSTS_END_MS = 3000;
/** How long a process lives on that has handed over, to say so. */
const HAND_OVER_MS = 100;

/** In place of a descriptor. */
const NONE = -1;

/** What `qtfs info` shows of a mount. */
export interface MountSnapshot {
  source: string;
  target: string;
  server: string;
  readOnly: boolean;
  cache: CacheMode;
  connected: boolean;
  /** The HOST's file systems that were met in the tree, and how their files are treated. */
  fileSystems: FileSystemFigures[];
  /** What became of the connection since the mount was made. */
  recovery: {
    losses: number;
    /** Times that the session went on with another process of the server. */
    serverRestarts: number;
    /** Times that the server did not know it any more. */
    sessionsLost: number;
    /** How long the last loss took to mend. */
    lastAwayMs: number;
    /** Times, of late, that a process took over from one that had died. */
    takeovers: number;
  };
  /** Process that takes over should this one die; the service manager may start one instead. */
  keeper: number | undefined;
  inStore: boolean;
  /** Process that serves the HOST's sockets and FIFOs here, once any was met: it says more itself. */
  twinsPid: number | undefined;
  /** Whether the HOST's mounts below the directory are to have superblocks of their own. */
  splits: boolean;
  /** Those that have. */
  submounts: SubmountReport[];
  threads: ThreadReport[];
  serverFacts: Facts;
  clientFacts: Facts;
  totals: Record<string, number>;
  operations: OpFigures[];
}

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

/** Validity of what the kernel is told, in seconds, by cache mode. */
const VALIDITY: Record<CacheMode, Validity> = {
  never: { ordinarySeconds: 0, watchedSeconds: 0 },
  auto: { ordinarySeconds: 1, watchedSeconds: 300 },
  always: { ordinarySeconds: 86_400, watchedSeconds: 86_400 },
};

/** Readahead of the mount; the kernel caps what INIT asks for at 128 KiB. */
const READAHEAD_KB = 1024;

function mountFlags(options: MountOptions, readOnly: boolean): string {
  const flags = [
    "default_permissions",
    `fsname=${options.fsname.replaceAll("\\", "\\\\").replaceAll(",", "\\,")}`,
    "subtype=qtfs",
    `max_read=${BULK_MAX}`,
    readOnly ? "ro" : "rw",
    options.suid ? "suid" : "nosuid",
    options.dev ? "dev" : "nodev",
  ];
  if (options.noexec) flags.push("noexec");
  if (options.noatime) flags.push("noatime");
  if (options.allowOther) flags.push("allow_other");
  return flags.join(",");
}

/** The superblock's device number, from mountinfo: stat would ask our own mount. */
function deviceOf(target: string): string | undefined {
  return mounts().findLast(({ mountpoint }) => mountpoint === target)?.device;
}

function setReadahead(target: string): void {
  const device = deviceOf(target);
  if (device === undefined) return;
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(READAHEAD_KB));
  } catch {
    // Without the right to change it, readahead stays what the kernel chose.
  }
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
  const since = Date.now() - TAKEOVERS_WITHIN_MS;
  const takeoversMs = [...settings.takeoversMs.filter((ms) => ms > since), Date.now()];
  if (takeoversMs.length > TAKEOVERS_MAX) {
    throw new Error(
      `Gave up the mount at ${settings.options.target}: its process has died ${TAKEOVERS_MAX} ` +
        `times in ${TAKEOVERS_WITHIN_MS / 1000} s (umount ${settings.options.target})`,
    );
  }
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
  #keeper: Guardian | undefined;
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
    this.#keep();
    if (this.#keeper !== undefined) first.dismiss();
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
        if (this.#keeper === undefined) this.#keep();
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
        this.#keeper?.dismiss();
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
    if (fd >= 0 && this.#keeper !== undefined) this.#keep();
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
      handOver: (command) => this.#handOver(command),
      letGo: () => this.#keeper?.dismiss(),
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
    if (this.#keeper !== undefined) {
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
    const wakeFd = this.#startGhosts();
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
      counters: this.#counters.shared,
      notices: this.#notices.shared,
      ghosts: this.#ghosts.shared,
      wakeFd,
      timeoutMs: hard ? 0 : timeoutMs,
    });
  }

  /**
   * Starts the thread that tells watchers, where it may do what it has to; the eventfd
   * that wakes it, or -errno.
   */
  #startGhosts(): number {
    if (process.getuid?.() !== 0 || this.#readOnly) return -E.EPERM;
    const wakeFd = eventfd();
    if (wakeFd < 0) return wakeFd;
    const worker = new Worker(new URL("./ghost.worker.ts", import.meta.url).href);
    worker.onerror = ({ message }) => {
      this.#options.log("warn", `Watchers are not told of the HOST's changes any more: ${message}`);
    };
    const { target } = this.#options;
    const common = { channel: this.#ghosts.shared, notices: this.#notices.shared };
    worker.postMessage({ ...common, wakeFd, target } satisfies GhostThreadData);
    return wakeFd;
  }

  /** Has somebody hold the mount, if there is anybody who may take it over. */
  #keep(command = this.#options.successor): void {
    const { store } = this.#options;
    if (this.#recordFd < 0 || (store === undefined && command.length === 0)) return;
    const before = this.#keeper;
    const fuse = (this.#mount as FuseMount).fd;
    const twins = this.#twins?.fd ?? NONE;
    const own = { fuse, record: this.#recordFd, channels: this.#channels.fd, twins };
    try {
      this.#keeper =
        store?.(own) ??
        new Keeper(command, own, () => {
          this.#options.log("warn", "The mount's keeper was killed, starting another");
          this.#keep();
        });
    } catch (error) {
      const why = (error as Error).message;
      this.#options.log("warn", `The mount has no keeper, it ends with this process: ${why}`);
      return;
    }
    before?.dismiss();
  }

  /** Lets `command` take over, and ends this process: its callers wait meanwhile. */
  #handOver(command: readonly string[]): number {
    if (this.#options.store === undefined) this.#keep(command);
    const successor = this.#keeper?.pid;
    if (successor === undefined) throw new Error("This mount has no keeper to hand over to");
    setTimeout(() => process.kill(process.pid, "SIGKILL"), HAND_OVER_MS);
    return successor;
  }

  async #unmount(): Promise<void> {
    // With the thread still serving, so that an orderly unmount can end orderly.
    await Promise.race([this.#submounts.close(), Bun.sleep(SUBMOUNTS_END_MS)]);
    const busy = umount2(cstring(this.#options.target), UMOUNT_NOFOLLOW) !== 0;
    this.#keeper?.dismiss();
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
      readOnly: this.#readOnly,
      cache: this.#options.cache,
      connected: this.#connected,
      fileSystems: this.#fileSystems.all(),
      recovery: { ...this.#recovery, takeovers: this.#takeovers },
      keeper: this.#keeper?.pid,
      twinsPid: this.#twinsPid,
      splits: this.#splits,
      submounts: this.#submounts.report(),
      inStore: this.#keeper !== undefined && this.#keeper.pid === undefined,
      threads: this.#watchdog.threads(),
      serverFacts: this.#serverFacts ?? this.#facts,
      clientFacts: this.#facts,
      totals: this.#counters.gauges(),
      operations: Counters.figures([this.#counters]),
    };
  }
}

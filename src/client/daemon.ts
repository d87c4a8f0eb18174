/** A mount as main sees it: its thread, libfuse's mount, and how it ends. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { type FuseMount, mountFuse } from "../fuse/libfuse.ts";
import { Counters, type OpFigures } from "../info/counters.ts";
import { machineFacts } from "../info/facts.ts";
import { cstring } from "../sys/cstring.ts";
import { UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import type { Facts } from "../wire/hello.ts";
import type { Validity } from "./answers.ts";
import { BULK_MAX } from "./bulk.ts";
import type { CacheMode } from "./client.ts";
import type { AttachData, MountMessage, ServeData } from "./mount.worker.ts";
import { NoticeQueue } from "./noticequeue.ts";

export interface MountOptions {
  server: Address;
  /** Path on the HOST. */
  source: string;
  /** Absolute path of the mountpoint here. */
  target: string;
  readOnly: boolean;
  cache: CacheMode;
  suid: boolean;
  dev: boolean;
  noexec: boolean;
  noatime: boolean;
  /** Allows TCP, where nobody can tell who answers. */
  insecure: boolean;
  /** Bound on waiting for a server that is silent. */
  timeoutMs: number;
  /** Wait for ever instead. */
  hard: boolean;
  /** Shown in /proc/mounts. */
  fsname: string;
  allowOther: boolean;
  log(level: "debug" | "info" | "warn" | "error", text: string): void;
}

/** What `qtfs info` shows of a mount. */
export interface MountSnapshot {
  source: string;
  target: string;
  server: string;
  readOnly: boolean;
  cache: CacheMode;
  connected: boolean;
  /** What became of the connection since the mount was made. */
  recovery: {
    losses: number;
    /** Times that the session went on with another process of the server. */
    serverRestarts: number;
    /** Times that the server did not know it any more. */
    sessionsLost: number;
    /** How long the last loss took to mend. */
    lastAwayMs: number;
  };
  serverFacts: Facts;
  clientFacts: Facts;
  totals: Record<string, number>;
  operations: OpFigures[];
}

export interface MountDaemon {
  snapshot(): MountSnapshot;
  /** Takes the mount away, lazily where it is busy. */
  unmount(): Promise<void>;
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
  const escaped = target.replace(/[ \t\n\\]/g, (c) => `\\0${c.charCodeAt(0).toString(8)}`);
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const fields = lines.map((line) => line.split(" ")).filter((f) => f[4] === escaped);
  return fields.at(-1)?.[2];
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
  if (options.server.kind === "tcp" && !options.insecure) {
    throw new Error(
      `Cannot use ${formatAddress(options.server)} without authentication: ` +
        "add the option insecure to allow it on a network you trust",
    );
  }
  if (!statSync(options.target).isDirectory()) {
    throw new Error(`Cannot mount at ${options.target}: it is not a directory`);
  }
  return new Mount(options).start();
}

class Mount {
  readonly #options: MountOptions;
  readonly #worker = new Worker(new URL("./mount.worker.ts", import.meta.url).href);
  readonly #noticeWorker = new Worker(new URL("./notice.worker.ts", import.meta.url).href);
  readonly #notices = new NoticeQueue();
  readonly #counters = new Counters();
  readonly #facts = machineFacts();
  readonly #done = Promise.withResolvers<string | undefined>();
  #serverFacts: Facts | undefined;
  #readOnly = false;
  #connected = true;
  #losses = 0;
  #serverRestarts = 0;
  #sessionsLost = 0;
  #lastAwayMs = 0;
  #mount: FuseMount | undefined;

  constructor(options: MountOptions) {
    this.#options = options;
  }

  start(): Promise<MountDaemon> {
    const usable = Promise.withResolvers<MountDaemon>();
    this.#worker.onmessage = (event: MessageEvent<MountMessage>) => {
      try {
        this.#message(event.data, usable);
      } catch (error) {
        this.#worker.terminate();
        usable.reject(error);
      }
    };
    this.#worker.onerror = (event) => {
      // The kernel must not wait for a thread that is gone.
      this.#mount?.unmount();
      this.#done.resolve(`The mount's thread has failed: ${event.message}`);
      usable.reject(new Error(`The mount's thread has failed: ${event.message}`));
    };
    const { server, source, timeoutMs } = this.#options;
    this.#post({ kind: "attach", server, source, facts: this.#facts, timeoutMs });
    return usable.promise;
  }

  #post(message: AttachData | ServeData): void {
    this.#worker.postMessage(message);
  }

  #message(message: MountMessage, usable: PromiseWithResolvers<MountDaemon>): void {
    switch (message.kind) {
      case "attached":
        this.#serverFacts = message.serverFacts;
        this.#readOnly = message.readOnly || this.#options.readOnly;
        this.#serve();
        break;
      case "failed":
        this.#worker.terminate();
        usable.reject(new Error(message.reason));
        break;
      case "ready":
        setReadahead(this.#options.target);
        usable.resolve({
          snapshot: () => this.#snapshot(),
          unmount: () => this.#unmount(),
          finished: this.#done.promise,
        });
        break;
      case "log":
        this.#options.log(message.level, message.text);
        break;
      case "away":
        this.#connected = false;
        this.#losses++;
        break;
      case "back":
        this.#connected = true;
        if (message.restarted) this.#serverRestarts++;
        if (message.anew) this.#sessionsLost++;
        this.#lastAwayMs = message.awayMs;
        break;
      case "done":
        this.#mount?.unmount();
        this.#done.resolve(undefined);
    }
  }

  #serve(): void {
    const { cache, hard, timeoutMs } = this.#options;
    this.#mount = mountFuse(this.#options.target, mountFlags(this.#options, this.#readOnly));
    this.#noticeWorker.postMessage({ queue: this.#notices.shared, fuseFd: this.#mount.fd });
    this.#post({
      kind: "serve",
      fuseFd: this.#mount.fd,
      cache,
      validity: VALIDITY[cache],
      counters: this.#counters.shared,
      notices: this.#notices.shared,
      timeoutMs: hard ? 0 : timeoutMs,
    });
  }

  async #unmount(): Promise<void> {
    // With the thread still serving, so that an orderly unmount can end orderly.
    const busy = umount2(cstring(this.#options.target), UMOUNT_NOFOLLOW) !== 0;
    if (busy) this.#mount?.unmount();
    await this.#done.promise;
  }

  #snapshot(): MountSnapshot {
    return {
      source: this.#options.source,
      target: this.#options.target,
      server: formatAddress(this.#options.server),
      readOnly: this.#readOnly,
      cache: this.#options.cache,
      connected: this.#connected,
      recovery: {
        losses: this.#losses,
        serverRestarts: this.#serverRestarts,
        sessionsLost: this.#sessionsLost,
        lastAwayMs: this.#lastAwayMs,
      },
      serverFacts: this.#serverFacts ?? this.#facts,
      clientFacts: this.#facts,
      totals: this.#counters.gauges(),
      operations: Counters.figures([this.#counters]),
    };
  }
}

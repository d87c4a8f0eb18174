/** A rexec-server as main sees it: listeners, the thread that lets clients in, what runs. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { checkIdentities, watchIdentities } from "../../identity/watching.ts";
import { Counters } from "../../info/counters.ts";
import { dated } from "../../info/log.ts";
import { errnoText } from "../../sys/errno.ts";
import { eventfd, signalEventfd } from "../../sys/poll.ts";
import { type Address, formatAddress } from "../../transport/address.ts";
import { listenAt } from "../../transport/endpoint.ts";
import type { Listener } from "../../transport/peers.ts";
import { LEASE_MS } from "../../wire/limits.ts";
import { fitsChannel } from "./channel.ts";
import { UNKNOWN } from "./orphans.ts";
import { keeperPath } from "./place.ts";
import type { ProgramReport } from "./register.ts";
import type { RexecData, RexecMessage } from "./rexec.worker.ts";
import type { Rule } from "./rules.ts";

const BACKLOG = 512;
/** Modes of a socket and its new directory: for our own user id alone, or for others too. */
const OWN = { socket: 0o600, directory: 0o700 } as const;
const SHARED = { socket: 0o666, directory: 0o755 } as const;
/** Programs that have ended and are told of still. */
const ENDED_MAX = 100;

export interface RexecServerOptions {
  listen: Address[];
  rules: Rule[];
  insecure: boolean;
  /** User ids that may connect to unix sockets. */
  uids: number[];
  /** Directory of identities (identity/directory.ts), by which clients are let in at tcp://. */
  identities?: string;
  /** Numbers of machines that may connect by vsock; VMADDR_CID_ANY for all. */
  cids?: number[];
  /** How long programs outlive the connection of their client. */
  leaseMs?: number;
  /** What starts this program. */
  command: string[];
  log: (level: "info" | "warn" | "error", text: string) => void;
}

/** What `qtfs info` shows of it. */
export interface RexecSnapshot {
  listen: string[];
  insecure: boolean;
  rules: Rule[];
  /** The process that has the programs; 0: not known yet. */
  keeperPid: number;
  /** How many clients were not let in by TLS, by what was wrong. */
  refusals?: Record<string, number>;
  /** Programs that run, and then those that have ended, the last first. */
  programs: ProgramReport[];
}

export interface RexecDaemon {
  /** Programs can be started. */
  readonly ready: Promise<void>;
  snapshot(): RexecSnapshot;
  /** Ends, with all that runs (end), or without: another server may come for that (leave). */
  stop(how: "leave" | "end"): Promise<void>;
}

/** Starts it; throws a sentence for people when it cannot. */
export function startRexecServer(options: RexecServerOptions): RexecDaemon {
  checkIdentities(options.listen, options.insecure, options.identities);
  const far = options.listen.find(({ kind }) => kind !== "unix");
  if (far !== undefined && !options.rules.some((rule) => rule.tcp === true)) {
    throw new Error(
      `Cannot listen at ${formatAddress(far)} without a rule: name with --allow what may be run, or with tcp = true in [[allow]]`,
    );
  }
  const tooLong = options.rules.find((rule) => !fitsChannel(rule));
  if (tooLong !== undefined) throw new Error(`Rule ${tooLong.name} is too long`);
  return new Daemon(
    options,
    options.listen.map((address) => listen(address, options)),
  );
}

function listen(address: Address, { uids, cids = [], insecure }: RexecServerOptions): Listener {
  const fd = openListener(address, uids);
  if (fd < 0) throw new Error(`Cannot listen at ${formatAddress(address)}: ${errnoText(-fd)}`);
  return { fd, kind: address.kind, tls: address.kind === "tcp" && !insecure, uids, cids };
}

function openListener(address: Address, uids: number[]): number {
  // Who may connect is decided by credentials; the mode only keeps strangers from trying.
  const modes = uids.every((uid) => uid === process.getuid?.()) ? OWN : SHARED;
  if (address.kind === "unix") {
    mkdirSync(dirname(address.path), { recursive: true, mode: modes.directory });
  }
  return listenAt(address, modes.socket, BACKLOG);
}

class Daemon implements RexecDaemon {
  readonly #options: RexecServerOptions;
  readonly #leaveFd = eventfd();
  readonly #endFd = eventfd();
  readonly #identitiesFd = eventfd();
  #unwatch: (() => void) | undefined;
  /** Where clients are counted that were not let in by TLS. */
  readonly #refusals = new Counters();
  readonly ready: Promise<void>;
  #keeperPid = 0;
  /** By their process ids. */
  readonly #running = new Map<number, ProgramReport>();
  #ended: ProgramReport[] = [];
  readonly #done: Promise<void>;

  constructor(options: RexecServerOptions, listeners: Listener[]) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#done = promise;
    const { promise: ready, resolve: found } = Promise.withResolvers<void>();
    this.ready = ready;
    const worker = new Worker(new URL("./rexec.worker.ts", import.meta.url).href);
    worker.onmessage = ({ data }: MessageEvent<RexecMessage>) => {
      if (data.kind === "done") resolve();
      else if (data.kind === "log") options.log(data.level, dated(data.text, data.atMs));
      else if (data.kind === "keeper") {
        this.#found(data.pid);
        found();
      } else this.#heard(data.report);
    };
    worker.onerror = (event) => {
      options.log("error", `The thread that lets clients in has failed: ${event.message}`);
      process.exit(1);
    };
    const identities = options.insecure ? undefined : options.identities;
    if (identities !== undefined) {
      this.#unwatch = watchIdentities(identities, () => signalEventfd(this.#identitiesFd));
    }
    const data: RexecData = {
      listeners,
      ...(identities !== undefined && { identities }),
      identitiesFd: this.#identitiesFd,
      refusals: this.#refusals.shared,
      rules: options.rules,
      leaseMs: options.leaseMs ?? LEASE_MS,
      path: keeperPath(options.listen.map(formatAddress)),
      command: options.command,
      leaveFd: this.#leaveFd,
      endFd: this.#endFd,
    };
    worker.postMessage(data);
  }

  snapshot(): RexecSnapshot {
    const { listen, insecure, rules } = this.#options;
    const programs = [...this.#running.values(), ...this.#ended];
    const keeperPid = this.#keeperPid;
    const counts = Object.entries(this.#refusals.gauges());
    const refusals = Object.fromEntries(counts.filter(([name]) => name.startsWith("tls")));
    const addresses = listen.map(formatAddress);
    return { listen: addresses, insecure, rules, keeperPid, refusals, programs };
  }

  async stop(how: "leave" | "end"): Promise<void> {
    this.#unwatch?.();
    signalEventfd(how === "leave" ? this.#leaveFd : this.#endFd);
    await this.#done;
    for (const address of this.#options.listen) {
      if (address.kind === "unix") rmSync(address.path, { force: true });
    }
  }

  /** Process `pid` tells of all programs from now on: what ran elsewhere has ended, or it has that. */
  #found(pid: number): void {
    this.#keeperPid = pid;
    for (const report of [...this.#running.values()]) {
      if (report.keeper === pid) continue;
      this.#heard({ ...report, connected: false, ending: { ...UNKNOWN, atMs: Date.now() } });
    }
  }

  #heard(report: ProgramReport): void {
    if (report.ending === undefined) {
      this.#running.set(report.pid, report);
      return;
    }
    this.#running.delete(report.pid);
    this.#ended = [report, ...this.#ended].slice(0, ENDED_MAX);
  }
}

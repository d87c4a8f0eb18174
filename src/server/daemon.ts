/**
 * The server as main sees it: listeners, the acceptor's thread, the reactors'
 * threads (started when a first client needs them) and their call threads.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkIdentities, watchIdentities } from "../identity/watching.ts";
import { Counters, type OpFigures } from "../info/counters.ts";
import { machineFacts } from "../info/facts.ts";
import { dated } from "../info/log.ts";
import { type Stuck, type ThreadReport, Watchdog } from "../info/watchdog.ts";
import { E, errnoText } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { eventfd, POLLIN, PollSet, signalEventfd } from "../sys/poll.ts";
import { raiseNoFileLimit } from "../sys/process.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { beginConnectTo, listenAt } from "../transport/endpoint.ts";
import type { Listener } from "../transport/peers.ts";
import { LEASE_MS } from "../wire/limits.ts";
import type { AcceptorMessage } from "./acceptor.worker.ts";
import { silentOnes } from "./answering.ts";
import { bridgePath } from "./bridge/messages.ts";
import { BridgeThread } from "./bridge/thread.ts";
import { callReports } from "./callreports.ts";
import { checkExports, type Export } from "./exports.ts";
import { Mailbox } from "./mailbox.ts";
import { checkRules, describeRules, type PolicyRule, type RuleFigures } from "./policy.ts";
import type { ReactorData, ReactorMessage } from "./reactor.worker.ts";
import { RecordStore, type StorePlace } from "./record/store.ts";
import { Registry } from "./registry.ts";
import { describeServing } from "./serving.ts";

/** Reactor threads at most; each serves the sessions that the others have no room for. */
export const REACTORS_MAX = 4;
const BACKLOG = 64;
/** How long new connections wait for the sessions of an earlier process: one may never be recovered. */
const ADOPT_MS = 10_000;
/** How long a process may take to end that was killed and still listens. */
const ENDING_MS = 1000;
/** Modes of a socket and its new directory: for our own user id alone, or for others too. */
const OWN = { socket: 0o600, directory: 0o700 } as const;
const SHARED = { socket: 0o666, directory: 0o755 } as const;

export interface ServerOptions {
  listen: Address[];
  exports: Export[];
  /** How files are treated, as far as it is not built in. */
  policies?: PolicyRule[];
  /** Allows TCP, where nobody can tell who connects. */
  insecure: boolean;
  /** Directory of identities (identity/directory.ts), by which clients are let in at tcp://. */
  identities?: string;
  /** User ids that may connect to unix sockets. */
  uids: number[];
  /** Numbers of machines that may connect by vsock; VMADDR_CID_ANY for all. */
  cids?: number[];
  /** What starts this program, for the bridge. */
  command: readonly string[];
  log: (level: "info" | "warn" | "error", text: string) => void;
  /** How many threads may serve sessions; REACTORS_MAX unless given. */
  reactors?: number;
  /** How long a session outlives its connection; LEASE_MS unless given. */
  leaseMs?: number;
  /**
   * Directory, this user's alone, where sessions outlive the process; undefined
   * where they need not (record/store.ts: recordDirectory).
   */
  records?: string;
  /**
   * Puts another process in the place of this one, a thread of which is stuck; it
   * goes on from the records. Returns if it cannot, with why.
   */
  replace?: () => string;
}

/** What `qtfs info` shows of a server. */
export interface ServerSnapshot {
  listen: string[];
  insecure: boolean;
  exports: Export[];
  /** How files are treated, as far as it is not built in. */
  policies: RuleFigures[];
  /** Sums over all reactors: sessions, nodes, handles, locks … */
  totals: Record<string, number>;
  /** Reactors that run, and call threads that are at a call. */
  threads: ThreadReport[];
  operations: OpFigures[];
  /** The process that has the streams to sockets and FIFOs; 0: there is none yet. */
  bridgePid: number;
}

interface ReactorThread {
  readonly mailbox: Mailbox;
  readonly counters: Counters;
  worker: Worker | undefined;
  calls: Worker[];
  done: Promise<void>;
}

export interface ServerDaemon {
  snapshot(): ServerSnapshot;
  /**
   * Lets calls under way end, if they do so soon, then ends every connection and thread; streams
   * to sockets and FIFOs too (end), or not: another server may come for them (leave).
   */
  stop(how: "leave" | "end"): Promise<void>;
}

function listen(address: Address, { uids, cids = [], insecure }: ServerOptions): Listener {
  let fd = tryListen(address, uids);
  if (fd === -E.EADDRINUSE && holderEnds(address)) fd = tryListen(address, uids);
  if (fd < 0) throw new Error(`Cannot listen at ${formatAddress(address)}: ${errnoText(-fd)}`);
  return { fd, kind: address.kind, tls: address.kind === "tcp" && !insecure, uids, cids };
}

function tryListen(address: Address, uids: number[]): number {
  // Who may connect is decided by credentials; the mode only keeps strangers from trying.
  const modes = uids.every((uid) => uid === process.getuid?.()) ? OWN : SHARED;
  if (address.kind === "unix") {
    mkdirSync(dirname(address.path), { recursive: true, mode: modes.directory });
  }
  return listenAt(address, modes.socket, BACKLOG);
}

/**
 * Whether the process that listens at `address` ends within ENDING_MS: one that
 * was killed a moment ago still holds it. A connection to it breaks then.
 */
function holderEnds(address: Address): boolean {
  const fd = beginConnectTo(address);
  if (fd < 0) return true;
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  const ends = polls.wait(ENDING_MS) > 0;
  close(fd);
  return ends;
}

/** Where the bridge is found by the next server; where there is no place, by none. */
function placeOfBridge({ listen, log }: ServerOptions): string {
  try {
    return bridgePath(listen.map(formatAddress));
  } catch (error) {
    log("warn", `${(error as Error).message}: streams to sockets end with this process`);
    return join(mkdtempSync(join(tmpdir(), "qtfs-bridge-")), "keeper.sock");
  }
}

/** Starts a server; throws a sentence for people when it cannot. */
export function startServer(options: ServerOptions): ServerDaemon {
  checkIdentities(options.listen, options.insecure, options.identities);
  raiseNoFileLimit();
  checkExports(options.exports);
  checkRules(options.policies ?? [], options.exports);
  const listeners = options.listen.map((address) => listen(address, options));
  return new Daemon(options, listeners);
}

class Daemon implements ServerDaemon {
  readonly #options: ServerOptions;
  readonly #reactors: ReactorThread[];
  readonly #acceptor: Worker;
  readonly #stopFd = eventfd();
  readonly #registry = new Registry();
  readonly #watchdog = new Watchdog({ stuck: (stuck) => this.#stuck(stuck) });
  readonly #records: StorePlace;
  readonly #bridge: BridgeThread;
  /** Where the acceptor counts whom it has refused. */
  readonly #refusals = new Counters();
  #unwatch: (() => void) | undefined;

  constructor(options: ServerOptions, listeners: Listener[]) {
    this.#options = options;
    this.#records = {
      directory: options.records,
      server: options.listen.map(formatAddress).sort().join(" "),
    };
    this.#bridge = new BridgeThread({
      path: placeOfBridge(options),
      command: options.command,
      registry: this.#registry.shared,
      leaseMs: options.leaseMs ?? LEASE_MS,
      log: (level, text, atMs) => options.log(level, dated(text, atMs)),
      failed: (event) => this.#fault("bridge", event),
    });
    this.#bridge.adopt(this.#watchdog);
    this.#reactors = Array.from({ length: options.reactors ?? REACTORS_MAX }, () => ({
      mailbox: new Mailbox(eventfd()),
      counters: new Counters(),
      worker: undefined,
      calls: [],
      done: Promise.resolve(),
    }));
    const { identities } = this.#identities;
    if (identities !== undefined) {
      this.#unwatch = watchIdentities(identities, () => {
        for (const { mailbox } of this.#reactors) mailbox.identitiesChanged();
      });
    }
    this.#acceptor = new Worker(new URL("./acceptor.worker.ts", import.meta.url).href);
    this.#acceptor.onmessage = (event: MessageEvent<AcceptorMessage>) => {
      if (event.data.kind === "log") options.log("warn", event.data.text);
      else this.#wanted(event.data.reactor);
    };
    this.#acceptor.onerror = (event) => this.#fault("acceptor", event);
    Promise.race([this.#adopt(), Bun.sleep(ADOPT_MS)]).then(() => {
      this.#acceptor.postMessage({
        listeners,
        mailboxes: this.#mailboxes(),
        stopFd: this.#stopFd,
        ...this.#identities,
        counters: this.#refusals.shared,
      });
    });
  }

  /** Has the reactors go on with sessions of an earlier process: before anything else is served. */
  async #adopt(): Promise<void> {
    const names = RecordStore.ownNames(this.#records);
    const { length } = this.#reactors;
    const shares = this.#reactors.map((_, i) => names.filter((_, n) => n % length === i));
    const started = shares.flatMap((share, i) => (share.length > 0 ? [this.#start(i, share)] : []));
    this.#bridge.adopted((await Promise.all(started)).flat());
    RecordStore.sweep(this.#records.directory);
  }

  snapshot(): ServerSnapshot {
    const threads = [...this.#reactors, this.#bridge].map((thread) => thread.counters);
    const counters = [...threads, this.#refusals];
    const totals: Record<string, number> = {};
    for (const part of counters) {
      for (const [name, value] of Object.entries(part.gauges())) {
        totals[name] = (totals[name] ?? 0) + value;
      }
    }
    return {
      listen: this.#options.listen.map(formatAddress),
      insecure: this.#options.insecure,
      exports: this.#options.exports,
      policies: describeRules(this.#options.policies ?? []),
      totals,
      threads: [...this.#watchdog.threads(), ...[...this.#queues.values()].flatMap(callReports)],
      operations: Counters.figures(counters),
      bridgePid: this.#bridge.pid,
    };
  }

  async stop(how: "leave" | "end"): Promise<void> {
    this.#watchdog.stop();
    this.#unwatch?.();
    signalEventfd(this.#stopFd);
    for (const reactor of this.#reactors) reactor.mailbox.stop();
    await Promise.all(this.#reactors.map((reactor) => reactor.done));
    await this.#bridge.stop(how);
    for (const address of this.#options.listen) {
      if (address.kind === "unix") rmSync(address.path, { force: true });
    }
  }

  /** For threads: the directory of identities, where it is used. */
  get #identities(): { identities?: string } {
    const { identities, insecure } = this.#options;
    return identities === undefined || insecure ? {} : { identities };
  }

  #mailboxes(): { shared: SharedArrayBuffer; wakeFd: number }[] {
    return this.#reactors.map(({ mailbox: { shared, wakeFd } }) => ({ shared, wakeFd }));
  }

  #wanted(index: number): void {
    if (this.#reactors[index]?.worker === undefined) this.#start(index, []);
  }

  /** Starts a reactor; resolves to the owners of the sessions of the records `adopts` that it goes on with. */
  #start(index: number, adopts: string[]): Promise<string[]> {
    const reactor = this.#reactors[index] as ReactorThread;
    const worker = new Worker(new URL("./reactor.worker.ts", import.meta.url).href);
    const { promise: adopted, resolve: resolveAdopted } = Promise.withResolvers<string[]>();
    reactor.worker = worker;
    this.#watchdog.add(`reactor ${index}`, reactor.counters.heartbeat, describeServing);
    reactor.done = new Promise((resolve) => {
      worker.onmessage = (event: MessageEvent<ReactorMessage>) => {
        const message = event.data;
        if (message.kind === "log") this.#options.log(message.level, message.text);
        else if (message.kind === "done") resolve();
        else if (message.kind === "adopted") resolveAdopted(message.owners);
        else if (message.kind === "bridge") this.#bridge.start(this.#watchdog);
        else this.#callThreads(reactor, message);
      };
    });
    worker.onerror = (event) => this.#fault(`reactor ${index}`, event);
    const data: ReactorData = {
      index,
      mailboxes: this.#mailboxes(),
      registry: this.#registry.shared,
      bridge: this.#bridge.told,
      leaseMs: this.#options.leaseMs ?? LEASE_MS,
      counters: reactor.counters.shared,
      exports: this.#options.exports,
      ...this.#identities,
      policies: this.#options.policies ?? [],
      facts: machineFacts(),
      records: this.#records,
      adopts,
    };
    worker.postMessage(data);
    return adopted;
  }

  readonly #queues = new Map<ReactorThread, SharedArrayBuffer>();

  #callThreads(reactor: ReactorThread, message: ReactorMessage): void {
    if (message.kind === "calls") this.#queues.set(reactor, message.queue);
    if (message.kind !== "thread") return;
    const worker = new Worker(new URL("./call.worker.ts", import.meta.url).href);
    worker.onerror = (event) => this.#fault("call thread", event);
    worker.postMessage({ queue: this.#queues.get(reactor), wakeFd: reactor.mailbox.wakeFd });
    reactor.calls.push(worker);
  }

  /** A fresh process is no remedy where it would wait for the same thing, and nothing else were served. */
  async #stuck({ text, canEnd, isStill }: Stuck): Promise<void> {
    const { exports, log, replace } = this.#options;
    log("error", text);
    if (!canEnd) {
      log("error", "Such a thread cannot be ended: its sessions wait until it goes on");
      return;
    }
    const silent = await silentOnes(exports.map(({ path }) => path));
    if (silent.length > 0) {
      log("error", `The file system at ${silent.join(", ")} does not answer`);
    } else if (replace !== undefined && isStill()) {
      log("error", replace());
    }
  }

  #fault(what: string, event: ErrorEvent): void {
    this.#options.log("error", `The ${what} thread has failed: ${event.message}`);
    // Whatever it served is in an unknown state; a supervisor starts the server anew.
    process.exit(1);
  }
}

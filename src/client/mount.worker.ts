/** Entry of a mount's thread: attaches, waits for main to mount, then serves. */
import { FuseDevice } from "../fuse/device.ts";
import { Counters } from "../info/counters.ts";
import { setNonBlocking } from "../sys/open.ts";
import { gettid } from "../sys/process.ts";
import type { Address } from "../transport/address.ts";
import { SocketTransport } from "../transport/socket.ts";
import { Policy } from "../wire/constants.ts";
import type { Facts } from "../wire/hello.ts";
import type { Validity } from "./answers.ts";
import { type CacheMode, Client } from "./client.ts";
import { type Attached, attachTo, FIRST_EPOCH } from "./connect.ts";
import type { FileSystemFigures } from "./filesystems.ts";
import type { LinkNews } from "./link.ts";
import { NoticeQueue } from "./noticequeue.ts";
import { ProcView } from "./proc/view.ts";
import { Reactor } from "./reactor.ts";
import { type ClientRecord, Head, mapRecord } from "./record.ts";
import type { KeptChannel } from "./submounts/channelstore.ts";
import type { HostMountNews } from "./submounts/hostmounts.ts";
import { Orders } from "./submounts/orders.ts";
import { type TwinNews, Twins } from "./twins/twins.ts";
import { GhostChannel } from "./watches/ghostchannel.ts";
import { Ghosts } from "./watches/ghosts.ts";
import { Watches } from "./watches/watches.ts";

/** What main sends first, unless it takes over. */
export interface AttachData {
  kind: "attach";
  servers: Address[];
  source: string;
  facts: Facts;
  timeoutMs: number;
  /** Whether the HOST's mounts are to be trees of their own. */
  splits: boolean;
  /** Whether it has to be the HOST's /proc. */
  isProc: boolean;
}

/** What main sends once it has mounted. */
export interface ServeData {
  kind: "serve";
  /** The other superblocks that a process has left which served the mount before; undefined if none did. */
  channels: readonly KeptChannel[] | undefined;
  splits: boolean;
  orders: { shared: SharedArrayBuffer; wakeFd: number };
  fuseFd: number;
  /** The reactor's end of the channel with the twin process (twins/channel.ts), or -1: there is to be none. */
  twinsFd: number;
  /** Where it is mounted. */
  target: string;
  /** The record, or -errno. */
  recordFd: number;
  session: string;
  servers: Address[];
  source: string;
  facts: Facts;
  cache: CacheMode;
  validity: Validity;
  containsLinks: boolean;
  /** For -o proc: the mount's device, as mountinfo writes it, if it is mounted. */
  proc: { device: string | undefined } | undefined;
  counters: SharedArrayBuffer;
  notices: SharedArrayBuffer;
  ghosts: SharedArrayBuffer;
  /** Eventfd that wakes the ghosts' thread, or -errno: there is none. */
  wakeFd: number;
  /** Bound on the server's silence; 0 for none. */
  timeoutMs: number;
}

/** What the thread tells main. */
export type MountMessage =
  | { kind: "attached"; readOnly: boolean; serverFacts: Facts; session: string }
  | { kind: "failed"; reason: string }
  | { kind: "ready" }
  | { kind: "log"; level: "info" | "warn" | "error"; text: string }
  /** The connection to the server is lost, or there is another. */
  | LinkNews
  | HostMountNews
  | TwinNews
  | { kind: "fileSystem"; met: FileSystemFigures }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: AttachData | ServeData }) => void) | null;
  postMessage(message: MountMessage): void;
};

let attached: Attached | undefined;

function attach({ servers, source, facts, timeoutMs, splits, isProc }: AttachData): void {
  try {
    attached = attachTo(servers, { source, facts, splits }, timeoutMs);
    // As far as an answer to ATTACH tells it: /sys would pass.
    if (isProc && attached.root.attributes.policy !== Policy.LIVE) {
      throw new Error(`Cannot use -o proc for ${source}: it is not the HOST's /proc`);
    }
    self.postMessage({
      kind: "attached",
      readOnly: attached.root.readOnly,
      serverFacts: attached.hello.facts,
      session: attached.session,
    });
  } catch (error) {
    self.postMessage({ kind: "failed", reason: (error as Error).message });
  }
}

/** The record of a session that has just begun. */
function beginRecord(data: ServeData, { hello, root }: Attached): ClientRecord {
  const record = mapRecord(data.recordFd);
  record.set(Head.SLOTS, hello.slots);
  record.set(Head.LIVES, hello.lives);
  record.set(Head.EPOCH, FIRST_EPOCH);
  record.set(Head.ROOT_POLICY, root.attributes.policy);
  return record;
}

/** The record that another process has left. */
function goOnWithRecord(data: ServeData): ClientRecord {
  const record = mapRecord(data.recordFd);
  record.set(Head.RESTARTS, record.get(Head.RESTARTS) + 1);
  return record;
}

/** Has watchers told of what happens on the HOST. */
function haunt(client: Client, { ghosts, wakeFd }: ServeData, notices: NoticeQueue): void {
  const channel = new GhostChannel(ghosts);
  if (wakeFd >= 0) client.watches = new Watches(client, channel, notices, wakeFd);
  // Without the thread as well: an earlier process may have had one.
  client.ghosts = new Ghosts(client, channel, (device) => client.watches?.takeFound(device));
}

/** Has the HOST's sockets and FIFOs served here. */
function twin(client: Client, data: ServeData, notices: NoticeQueue, log: Log): void {
  const { facts, servers, session, source, target, twinsFd } = data;
  if (twinsFd < 0) return;
  const constant = { target, source, servers, facts, session };
  const { record } = client;
  client.twins = new Twins(client, {
    fd: twinsFd,
    notices,
    log,
    mount: () => ({
      kind: "mount",
      ...constant,
      epoch: record.get(Head.EPOCH),
      lives: record.get(Head.LIVES),
    }),
    tell: (news) => self.postMessage(news),
  });
}

type Log = (level: "info" | "warn" | "error", text: string) => void;

function serve(data: ServeData): void {
  setNonBlocking(data.fuseFd, true);
  const record = attached === undefined ? goOnWithRecord(data) : beginRecord(data, attached);
  const client = new Client(
    new FuseDevice(data.fuseFd),
    attached?.transport ?? SocketTransport.closed(),
    record.get(Head.SLOTS),
    data.cache,
    data.validity,
    new Counters(data.counters),
    record,
  );
  // ATTACH was the first request of slot 0.
  if (attached !== undefined) client.pending.sequence[0] = 1;
  const log: Log = (level, text) => self.postMessage({ kind: "log", level, text });
  client.containsLinks = data.containsLinks;
  if (data.proc !== undefined) client.view = new ProcView({ ...data.proc, log });
  client.counters.heartbeat.belongsTo(gettid());
  const notices = new NoticeQueue(data.notices);
  haunt(client, data, notices);
  twin(client, data, notices, log);
  client.fileSystemMet = (met) => self.postMessage({ kind: "fileSystem", met });
  const reactor = new Reactor(client, {
    timeoutMs: data.timeoutMs,
    notices,
    log,
    orders: new Orders(data.orders.wakeFd, data.orders.shared),
    mounts: (news) => self.postMessage(news),
    ready: () => self.postMessage({ kind: "ready" }),
    link: {
      addresses: data.servers,
      source: data.source,
      facts: data.facts,
      splits: data.splits,
      session: data.session,
      tell: (news) => self.postMessage(news),
    },
  });
  if (data.channels !== undefined) reactor.takeOver(data.channels);
  reactor.run();
  self.postMessage({ kind: "done" });
}

self.onmessage = (event) => {
  if (event.data.kind === "attach") attach(event.data);
  else serve(event.data);
};

/** Entry of a reactor's thread; main sends it what it needs, once. */
import { Gate } from "../identity/gate.ts";
import { Counters } from "../info/counters.ts";
import { gettid } from "../sys/process.ts";
import type { Facts } from "../wire/hello.ts";
import { BridgeDoor } from "./bridge/door.ts";
import { BridgeGeneration, BridgeSender } from "./bridge/sender.ts";
import type { BridgeTold } from "./bridge/thread.ts";
import { Calls } from "./calls.ts";
import type { Export } from "./exports.ts";
import { Mailbox } from "./mailbox.ts";
import { MountTable } from "./mounts/mounttable.ts";
import type { PolicyRule } from "./policy.ts";
import { Polls } from "./polls.ts";
import { Reactor } from "./reactor.ts";
import { RecordStore, type StorePlace } from "./record/store.ts";
import { Registry } from "./registry.ts";
import { enterOwnUmask } from "./umask.ts";
import { Watcher } from "./watcher.ts";

/** What main gives a reactor. */
export interface ReactorData {
  /** Its number among the reactors, whose mailboxes these are. */
  index: number;
  mailboxes: { shared: SharedArrayBuffer; wakeFd: number }[];
  registry: SharedArrayBuffer;
  /** What the bridge is told by. */
  bridge: BridgeTold;
  leaseMs: number;
  counters: SharedArrayBuffer;
  exports: Export[];
  /** Directory of identities, where a listener lets in by them. */
  identities?: string;
  policies: PolicyRule[];
  facts: Facts;
  records: StorePlace;
  /** Names of the records to look at before anything is served. */
  adopts: string[];
}

/** What a reactor tells main. */
export type ReactorMessage =
  | { kind: "calls"; queue: SharedArrayBuffer }
  | { kind: "thread" }
  /** The bridge is wanted. */
  | { kind: "bridge" }
  /** It goes on with the sessions it was to adopt, as far as that can be: those of `owners`. */
  | { kind: "adopted"; owners: string[] }
  | { kind: "log"; level: "info" | "warn"; text: string }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: ReactorData }) => void) | null;
  postMessage(message: ReactorMessage): void;
};

self.onmessage = (event) => {
  const { data } = event;
  enterOwnUmask();
  const calls = new Calls(() => self.postMessage({ kind: "thread" }));
  self.postMessage({ kind: "calls", queue: calls.queue.shared });
  const counters = new Counters(data.counters);
  counters.heartbeat.belongsTo(gettid());
  const log = (level: "info" | "warn", text: string) =>
    self.postMessage({ kind: "log", level, text });
  const { mailbox, wakeFd, fd, generation } = data.bridge;
  const sender = new BridgeSender(fd, new BridgeGeneration(generation));
  const bridge = new BridgeDoor(new Mailbox(wakeFd, mailbox), sender, () =>
    self.postMessage({ kind: "bridge" }),
  );
  const services = {
    counters,
    calls,
    polls: new Polls(),
    watcher: new Watcher(),
    mounts: new MountTable(),
    tell: (text: string) => log("warn", text),
    exports: data.exports,
    ...(data.identities !== undefined && { gate: new Gate(data.identities) }),
    policies: data.policies,
    facts: data.facts,
    leaseMs: data.leaseMs,
    records: new RecordStore(data.records),
    bridge,
  };
  const mailboxes = data.mailboxes.map(({ shared, wakeFd }) => new Mailbox(wakeFd, shared));
  const registry = new Registry(data.registry);
  const reactor = new Reactor(data.index, mailboxes, registry, services, log);
  self.postMessage({ kind: "adopted", owners: reactor.adopt(data.adopts) });
  reactor.run();
  self.postMessage({ kind: "done" });
};

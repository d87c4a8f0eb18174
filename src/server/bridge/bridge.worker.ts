/** Entry of the bridge's thread; main sends it what it needs, once. */
import { Loop } from "../../bridge/loop.ts";
import { Counters } from "../../info/counters.ts";
import { At } from "../../info/heartbeat.ts";
import { gettid } from "../../sys/process.ts";
import type { Facts } from "../../wire/hello.ts";
import { Mailbox } from "../mailbox.ts";
import { Registry } from "../registry.ts";
import { enterOwnUmask } from "../umask.ts";
import { BridgeBox } from "./box.ts";
import { Bridge } from "./bridge.ts";

/** What main gives the bridge. */
export interface BridgeData {
  mailbox: SharedArrayBuffer;
  box: SharedArrayBuffer;
  wakeFd: number;
  registry: SharedArrayBuffer;
  counters: SharedArrayBuffer;
  facts: Facts;
  leaseMs: number;
}

/** What it tells main. */
export type BridgeMessage =
  | { kind: "log"; level: "info" | "warn"; text: string }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: BridgeData }) => void) | null;
  postMessage(message: BridgeMessage): void;
};

self.onmessage = ({ data }) => {
  enterOwnUmask();
  const counters = new Counters(data.counters);
  counters.heartbeat.belongsTo(gettid());
  const { heartbeat } = counters;
  const loop = new Loop({
    sleeps: () => heartbeat.beat(At.ASLEEP),
    wakes: () => heartbeat.beat(At.LOOKING),
  });
  const mailbox = new Mailbox(data.wakeFd, data.mailbox);
  const bridge = new Bridge({
    loop,
    mailbox,
    box: new BridgeBox(data.wakeFd, data.box),
    registry: new Registry(data.registry),
    counters,
    facts: data.facts,
    leaseMs: data.leaseMs,
    log: (level, text) => self.postMessage({ kind: "log", level, text }),
  });
  // What came before the thread was there, perhaps that it is to end.
  bridge.onEvents();
  if (!mailbox.stopping) loop.run();
  bridge.close();
  self.postMessage({ kind: "done" });
};

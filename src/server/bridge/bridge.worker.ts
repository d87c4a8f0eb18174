/** Entry of the thread that looks after the bridge; main sends it what it needs, once. */
import { Loop } from "../../bridge/loop.ts";
import { Counters } from "../../info/counters.ts";
import { At } from "../../info/heartbeat.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { gettid } from "../../sys/process.ts";
import { Mailbox } from "../mailbox.ts";
import { Registry } from "../registry.ts";
import { BridgeLink, type BridgePlace } from "./link.ts";
import { BridgeGeneration } from "./sender.ts";

/** What main gives it. */
export interface BridgeData {
  place: BridgePlace;
  generation: SharedArrayBuffer;
  mailbox: SharedArrayBuffer;
  wakeFd: number;
  registry: SharedArrayBuffer;
  counters: SharedArrayBuffer;
  leaseMs: number;
  /** Readable when the thread is to end and streams are to go on; and to end. */
  leaveFd: number;
  endFd: number;
}

/** What it tells main. */
export type BridgeMessage =
  | { kind: "log"; level: "info" | "warn" | "error"; text: string; atMs?: number }
  | { kind: "found"; pid: number }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: BridgeData }) => void) | null;
  postMessage(message: BridgeMessage): void;
};

self.onmessage = ({ data }) => {
  const counters = new Counters(data.counters);
  counters.heartbeat.belongsTo(gettid());
  const { heartbeat } = counters;
  const loop = new Loop({
    sleeps: () => heartbeat.beat(At.ASLEEP),
    wakes: () => heartbeat.beat(At.LOOKING),
  });
  const link = new BridgeLink({
    loop,
    place: data.place,
    generation: new BridgeGeneration(data.generation),
    mailbox: new Mailbox(data.wakeFd, data.mailbox),
    registry: new Registry(data.registry),
    counters,
    leaseMs: data.leaseMs,
    log: (level, text, atMs) =>
      self.postMessage({ kind: "log", level, text, ...(atMs !== undefined && { atMs }) }),
    found: (pid) => self.postMessage({ kind: "found", pid }),
  });
  for (const [fd, how] of [
    [data.leaveFd, "leave"],
    [data.endFd, "end"],
  ] as const) {
    loop.add(fd, EPOLLIN, {
      onEvents: () => {
        loop.remove(fd);
        link.part(how, () => loop.stop());
      },
    });
  }
  // What came before the thread was there.
  link.take();
  loop.run();
  self.postMessage({ kind: "done" });
};

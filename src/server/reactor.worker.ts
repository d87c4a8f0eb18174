/** Entry of a reactor's thread; main sends it what it needs, once. */
import { Counters } from "../info/counters.ts";
import type { Facts } from "../wire/hello.ts";
import { Calls } from "./calls.ts";
import type { Export } from "./exports.ts";
import { Mailbox } from "./mailbox.ts";
import { Polls } from "./polls.ts";
import { Reactor } from "./reactor.ts";
import { enterOwnUmask } from "./umask.ts";
import { Watcher } from "./watcher.ts";

/** What main gives a reactor. */
export interface ReactorData {
  mailbox: SharedArrayBuffer;
  wakeFd: number;
  counters: SharedArrayBuffer;
  exports: Export[];
  facts: Facts;
}

/** What a reactor tells main. */
export type ReactorMessage =
  | { kind: "calls"; queue: SharedArrayBuffer }
  | { kind: "thread" }
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
  const services = {
    counters: new Counters(data.counters),
    calls,
    polls: new Polls(),
    watcher: new Watcher(),
    exports: data.exports,
    facts: data.facts,
  };
  const log = (level: "info" | "warn", text: string) =>
    self.postMessage({ kind: "log", level, text });
  new Reactor(new Mailbox(data.wakeFd, data.mailbox), services, log).run();
  self.postMessage({ kind: "done" });
};

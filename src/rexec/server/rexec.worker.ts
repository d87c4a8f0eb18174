/** Entry of the thread that starts programs; main sends it what it needs, once. */
import { Loop } from "../../bridge/loop.ts";
import { enterOwnUmask } from "../../server/umask.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { drainEventfd } from "../../sys/poll.ts";
import { raiseNoFileLimit } from "../../sys/process.ts";
import type { Facts } from "../../wire/hello.ts";
import { type Rule, Rules } from "./rules.ts";
import { type Listener, type ProgramReport, Service } from "./service.ts";

export interface RexecData {
  listeners: Listener[];
  rules: Rule[];
  facts: Facts;
  leaseMs: number;
  groups: number[];
  /** Readable when the thread is to end. */
  stopFd: number;
}

export type RexecMessage =
  | { kind: "log"; level: "info" | "warn"; text: string }
  | { kind: "program"; report: ProgramReport }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: RexecData }) => void) | null;
  postMessage(message: RexecMessage): void;
};

self.onmessage = ({ data }) => {
  enterOwnUmask();
  raiseNoFileLimit();
  const loop = new Loop();
  const service = new Service({
    ...data,
    loop,
    rules: new Rules(data.rules),
    log: (level, text) => self.postMessage({ kind: "log", level, text }),
    report: (report) => self.postMessage({ kind: "program", report }),
  });
  loop.add(data.stopFd, EPOLLIN, {
    onEvents: () => {
      drainEventfd(data.stopFd);
      loop.stop();
    },
  });
  loop.run();
  service.close();
  self.postMessage({ kind: "done" });
};

/** Entry of the thread that lets clients in; main sends it what it needs, once. */
import { Loop } from "../../bridge/loop.ts";
import { Gate } from "../../identity/gate.ts";
import { Counters } from "../../info/counters.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { drainEventfd } from "../../sys/poll.ts";
import { raiseNoFileLimit } from "../../sys/process.ts";
import type { Listener } from "../../transport/peers.ts";
import { Front } from "./front.ts";
import { KeeperLink } from "./keeperlink.ts";
import type { ProgramReport } from "./register.ts";
import type { Rule } from "./rules.ts";

export interface RexecData {
  listeners: Listener[];
  /** Directory of identities, where a listener lets in by them; an eventfd that tells of changes; where refusals are counted. */
  identities?: string;
  identitiesFd: number;
  refusals: SharedArrayBuffer;
  rules: Rule[];
  leaseMs: number;
  /** The keeper's socket, and what starts this program. */
  path: string;
  command: string[];
  /** Readable when the thread is to end and programs are to go on; and to end. */
  leaveFd: number;
  endFd: number;
}

export type RexecMessage =
  | { kind: "log"; level: "info" | "warn" | "error"; text: string; atMs?: number }
  | { kind: "program"; report: ProgramReport }
  | { kind: "keeper"; pid: number }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: RexecData }) => void) | null;
  postMessage(message: RexecMessage): void;
};

self.onmessage = ({ data }) => {
  raiseNoFileLimit();
  const loop = new Loop();
  const log = (level: "info" | "warn" | "error", text: string, atMs?: number) =>
    self.postMessage({ kind: "log", level, text, ...(atMs !== undefined && { atMs }) });
  const changed = (report: ProgramReport) => self.postMessage({ kind: "program", report });
  const found = (pid: number) => self.postMessage({ kind: "keeper", pid });
  const keeper = new KeeperLink({ ...data, loop, log, changed, found });
  const { listeners } = data;
  const front = new Front({
    loop,
    listeners,
    gate: data.identities === undefined ? undefined : new Gate(data.identities),
    counters: new Counters(data.refusals),
    log,
    revoked: (name) => keeper.revoke(name),
    closed: (relay) => keeper.closed(relay),
    greeted: (fd, client, hello) => keeper.give(fd, client, hello),
  });
  const stop = (how: "leave" | "end") => {
    loop.remove(data.leaveFd);
    loop.remove(data.endFd);
    front.close();
    keeper.part(how, () => loop.stop());
  };
  loop.add(data.identitiesFd, EPOLLIN, {
    onEvents: () => {
      drainEventfd(data.identitiesFd);
      front.identitiesChanged();
    },
  });
  loop.add(data.leaveFd, EPOLLIN, { onEvents: () => stop("leave") });
  loop.add(data.endFd, EPOLLIN, { onEvents: () => stop("end") });
  loop.run();
  self.postMessage({ kind: "done" });
};

/** Entry of a mount's thread: attaches, waits for main to mount, then serves. */
import { FuseDevice } from "../fuse/device.ts";
import { Counters } from "../info/counters.ts";
import { setNonBlocking } from "../sys/open.ts";
import type { Address } from "../transport/address.ts";
import type { Facts } from "../wire/hello.ts";
import type { Validity } from "./answers.ts";
import { type CacheMode, Client } from "./client.ts";
import { type Attached, attachTo } from "./connect.ts";
import { NoticeQueue } from "./noticequeue.ts";
import { Reactor } from "./reactor.ts";

/** What main sends first. */
export interface AttachData {
  kind: "attach";
  server: Address;
  source: string;
  facts: Facts;
  timeoutMs: number;
}

/** What main sends once it has mounted. */
export interface ServeData {
  kind: "serve";
  fuseFd: number;
  cache: CacheMode;
  validity: Validity;
  counters: SharedArrayBuffer;
  notices: SharedArrayBuffer;
  /** Bound on the server's silence; 0 for none. */
  timeoutMs: number;
}

/** What the thread tells main. */
export type MountMessage =
  | { kind: "attached"; readOnly: boolean; serverFacts: Facts }
  | { kind: "failed"; reason: string }
  | { kind: "ready" }
  | { kind: "log"; level: "info" | "warn" | "error"; text: string }
  /** The connection to the server is lost. */
  | { kind: "lost" }
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: AttachData | ServeData }) => void) | null;
  postMessage(message: MountMessage): void;
};

let attached: Attached | undefined;

function attach(data: AttachData): void {
  try {
    attached = attachTo(data.server, data.source, data.facts, data.timeoutMs);
    self.postMessage({
      kind: "attached",
      readOnly: attached.readOnly,
      serverFacts: attached.hello.facts,
    });
  } catch (error) {
    self.postMessage({ kind: "failed", reason: (error as Error).message });
  }
}

function serve(data: ServeData, session: Attached): void {
  setNonBlocking(data.fuseFd, true);
  const client = new Client(
    new FuseDevice(data.fuseFd),
    session.transport,
    session.hello.slots,
    data.cache,
    data.validity,
    new Counters(data.counters),
  );
  // ATTACH was the first request of slot 0.
  client.pending.sequence[0] = 1;
  client.rootPolicy = session.root.policy;
  new Reactor(client, {
    timeoutMs: data.timeoutMs,
    notices: new NoticeQueue(data.notices),
    log: (level, text) => self.postMessage({ kind: "log", level, text }),
    ready: () => self.postMessage({ kind: "ready" }),
    lost: () => self.postMessage({ kind: "lost" }),
  }).run();
  self.postMessage({ kind: "done" });
}

self.onmessage = (event) => {
  if (event.data.kind === "attach") attach(event.data);
  else if (attached !== undefined) serve(event.data, attached);
};

/** Entry of a mount's thread: attaches, waits for main to mount, then serves. */
import { FuseDevice } from "../fuse/device.ts";
import { Counters } from "../info/counters.ts";
import { setNonBlocking } from "../sys/open.ts";
import type { Address } from "../transport/address.ts";
import type { Facts } from "../wire/hello.ts";
import type { Validity } from "./answers.ts";
import { type CacheMode, Client } from "./client.ts";
import { type Attached, attachTo } from "./connect.ts";
import type { LinkNews } from "./link.ts";
import { NoticeQueue } from "./noticequeue.ts";
import { Reactor } from "./reactor.ts";
import { ClientRecord, Head } from "./record.ts";

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
  /** The connection to the server is lost, or there is another. */
  | LinkNews
  | { kind: "done" };

declare const self: {
  onmessage: ((event: { data: AttachData | ServeData }) => void) | null;
  postMessage(message: MountMessage): void;
};

let attached: (Attached & { attach: AttachData }) | undefined;

function attach(data: AttachData): void {
  try {
    const made = attachTo(data.server, data.source, data.facts, data.timeoutMs);
    attached = { ...made, attach: data };
    self.postMessage({
      kind: "attached",
      readOnly: attached.root.readOnly,
      serverFacts: attached.hello.facts,
    });
  } catch (error) {
    self.postMessage({ kind: "failed", reason: (error as Error).message });
  }
}

function serve(data: ServeData, session: Attached & { attach: AttachData }): void {
  setNonBlocking(data.fuseFd, true);
  const record = new ClientRecord();
  const { attach } = session;
  record.set(Head.SLOTS, session.hello.slots);
  record.set(Head.LIVES, session.hello.lives);
  record.set(Head.ROOT_POLICY, session.root.attributes.policy);
  const client = new Client(
    new FuseDevice(data.fuseFd),
    session.transport,
    session.hello.slots,
    data.cache,
    data.validity,
    new Counters(data.counters),
    record,
  );
  // ATTACH was the first request of slot 0.
  client.pending.sequence[0] = 1;
  new Reactor(client, {
    timeoutMs: data.timeoutMs,
    notices: new NoticeQueue(data.notices),
    log: (level, text) => self.postMessage({ kind: "log", level, text }),
    ready: () => self.postMessage({ kind: "ready" }),
    link: {
      addresses: [attach.server],
      source: attach.source,
      facts: attach.facts,
      session: session.session,
      tell: (news) => self.postMessage(news),
    },
  }).run();
  self.postMessage({ kind: "done" });
}

self.onmessage = (event) => {
  if (event.data.kind === "attach") attach(event.data);
  else if (attached !== undefined) serve(event.data, attached);
};

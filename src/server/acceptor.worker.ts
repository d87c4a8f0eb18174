/**
 * The thread that waits for clients. It checks who they are as far as the
 * listener can tell and hands their connections to the reactors.
 */
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { drainEventfd, POLLIN, PollSet } from "../sys/poll.ts";
import { accept } from "../sys/socket.ts";
import { tune } from "../transport/endpoint.ts";
import { type Listener, refusalOf } from "../transport/peers.ts";
import { GREETERS_MAX, SESSIONS_MAX } from "../wire/limits.ts";
import { LogBudget } from "./logbudget.ts";
import { Mailbox } from "./mailbox.ts";

export interface AcceptorData {
  listeners: Listener[];
  mailboxes: { shared: SharedArrayBuffer; wakeFd: number }[];
  /** Readable when the thread is to end. */
  stopFd: number;
}

export type AcceptorMessage = { kind: "log"; text: string } | { kind: "wanted"; reactor: number };

declare const self: {
  onmessage: ((event: { data: AcceptorData }) => void) | null;
  postMessage(message: AcceptorMessage): void;
};

/** Socket buffers large enough for several bulk frames. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** One for each session, and those that may be about to take one's place. */
const CONNECTIONS_MAX = SESSIONS_MAX + GREETERS_MAX;

/** How long to wait when there is no descriptor or memory for a connection. */
const ACCEPT_PAUSE_MS = 50;

const budget = new LogBudget();
/** Reactors that main was asked to start. */
const wanted = new Set<number>();

function admit(fd: number, listener: Listener, mailboxes: Mailbox[]): void {
  const reason = refusalOf(fd, listener);
  const loads = mailboxes.map((mailbox) => mailbox.connections);
  const total = loads.reduce((sum, n) => sum + n, 0);
  if (reason !== undefined || total >= CONNECTIONS_MAX) {
    const text = budget.admit(`Refused a client: ${reason ?? "too many connections"}`);
    if (text !== undefined) self.postMessage({ kind: "log", text });
    close(fd);
    return;
  }
  tune(fd, listener.kind, SOCKET_BUFFER_BYTES);
  const least = Math.min(...loads);
  const reactor = loads.indexOf(least);
  if (!wanted.has(reactor)) self.postMessage({ kind: "wanted", reactor });
  wanted.add(reactor);
  if (!(mailboxes[reactor] as Mailbox).put(fd)) close(fd);
}

function serve(data: AcceptorData): void {
  const mailboxes = data.mailboxes.map((m) => new Mailbox(m.wakeFd, m.shared));
  const polls = new PollSet(1 + data.listeners.length);
  polls.add(data.stopFd, POLLIN);
  for (const listener of data.listeners) polls.add(listener.fd, POLLIN);
  while (true) {
    polls.wait(-1);
    if (polls.revents(0) !== 0) break;
    data.listeners.forEach((listener, i) => {
      if (polls.revents(i + 1) === 0) return;
      const fd = accept(listener.fd);
      if (fd >= 0) admit(fd, listener, mailboxes);
      // The connection stays in the queue and would be found again at once.
      else if (fd !== -E.EAGAIN) Bun.sleepSync(ACCEPT_PAUSE_MS);
    });
  }
  drainEventfd(data.stopFd);
  for (const listener of data.listeners) close(listener.fd);
}

self.onmessage = (event) => serve(event.data);

/**
 * The thread that waits for clients. It checks who they are as far as the
 * listener can tell and hands their connections to the reactors.
 */
import { Gate } from "../identity/gate.ts";
import { channelOf } from "../identity/peer.ts";
import { Counters } from "../info/counters.ts";
import { E } from "../sys/errno.ts";
import { drainEventfd, POLLIN, PollSet } from "../sys/poll.ts";
import { acceptFrom, closeListener, tune } from "../transport/endpoint.ts";
import { type Listener, refusalOf } from "../transport/peers.ts";
import { GREETERS_MAX, SESSIONS_MAX } from "../wire/limits.ts";
import { Handshakes } from "./handshakes.ts";
import { LogBudget } from "./logbudget.ts";
import { Mailbox } from "./mailbox.ts";

export interface AcceptorData {
  listeners: Listener[];
  mailboxes: { shared: SharedArrayBuffer; wakeFd: number }[];
  /** Readable when the thread is to end. */
  stopFd: number;
  /** Directory of identities, where a listener lets in by them; and where refusals are counted. */
  identities?: string;
  counters: SharedArrayBuffer;
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

function say(line: string): void {
  const text = budget.admit(line);
  if (text !== undefined) self.postMessage({ kind: "log", text });
}

/** Lets a connection in, whose end of TLS is at `tls`; 0 for none yet, or at all. */
function admit(fd: number, listener: Listener, mailboxes: Mailbox[], tls: number): void {
  const reason = refusalOf(fd, listener);
  const loads = mailboxes.map((mailbox) => mailbox.connections);
  const total = loads.reduce((sum, n) => sum + n, 0);
  if (reason !== undefined || total >= CONNECTIONS_MAX) {
    say(`Refused a client: ${reason ?? "too many connections"}`);
    channelOf(fd, tls).close();
    return;
  }
  const least = Math.min(...loads);
  const reactor = loads.indexOf(least);
  if (!wanted.has(reactor)) self.postMessage({ kind: "wanted", reactor });
  wanted.add(reactor);
  if (!(mailboxes[reactor] as Mailbox).put({ fd, tls })) channelOf(fd, tls).close();
}

/** What lets clients of `listener` in by TLS. */
function handshakes(data: AcceptorData, mailboxes: Mailbox[]): Handshakes | undefined {
  const listener = data.listeners.find(({ tls }) => tls);
  if (listener === undefined || data.identities === undefined) return undefined;
  const gate = new Gate(data.identities);
  const log = (text: string) => say(text);
  const admitted = (fd: number, tls: number) => admit(fd, listener, mailboxes, tls);
  return new Handshakes(gate, new Counters(data.counters), { admitted, log });
}

function serve(data: AcceptorData): void {
  const mailboxes = data.mailboxes.map((m) => new Mailbox(m.wakeFd, m.shared));
  const shaking = handshakes(data, mailboxes);
  const polls = new PollSet(1 + data.listeners.length + GREETERS_MAX);
  while (true) {
    polls.clear();
    polls.add(data.stopFd, POLLIN);
    for (const listener of data.listeners) polls.add(listener.fd, POLLIN);
    shaking?.addTo(polls);
    polls.wait(shaking?.waitMs ?? -1);
    if (polls.revents(0) !== 0) break;
    data.listeners.forEach((listener, i) => {
      if (polls.revents(i + 1) === 0) return;
      const fd = acceptFrom(listener);
      if (fd >= 0) welcome(fd, listener, mailboxes, shaking);
      // The connection stays in the queue and would be found again at once.
      else if (fd !== -E.EAGAIN) Bun.sleepSync(ACCEPT_PAUSE_MS);
    });
    shaking?.step();
  }
  drainEventfd(data.stopFd);
  for (const listener of data.listeners) closeListener(listener);
}

function welcome(
  fd: number,
  listener: Listener,
  mailboxes: Mailbox[],
  shaking: Handshakes | undefined,
): void {
  tune(fd, listener.kind, SOCKET_BUFFER_BYTES);
  if (listener.tls) shaking?.begin(fd);
  else admit(fd, listener, mailboxes, 0);
}

self.onmessage = (event) => serve(event.data);

/**
 * One thread of the server: serves its sessions' requests as they come, looks
 * for more a while, then sleeps until there are any. It never waits for anything
 * else; what may take long is in its call threads.
 */
import { At } from "../info/heartbeat.ts";
import { Spin } from "../session/spin.ts";
import { drainEventfd, POLLIN, POLLOUT, PollSet } from "../sys/poll.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { GREETERS_MAX, SESSIONS_MAX } from "../wire/limits.ts";
import { POLL_WAITS_MS } from "./calls.ts";
import { refreshGauges } from "./gauges.ts";
import { Refusal, sayGoodbye } from "./greeting.ts";
import { LogBudget } from "./logbudget.ts";
import type { Mailbox } from "./mailbox.ts";
import { WATCHES_MAX } from "./polls.ts";
import { IN_USE } from "./record/record.ts";
import type { Registry } from "./registry.ts";
import type { ReactorServices } from "./services.ts";
import { serve } from "./serving.ts";
import { type Connected, Sessions } from "./sessions.ts";
import { Strangers } from "./strangers.ts";
import type { Watched } from "./watched.ts";
import { AHEAD_BYTES } from "./writeahead.ts";

/** How often gauges are refreshed and greetings checked while there is traffic. */
const TIDY_MS = 500;
/** How soon a cancelled call is interrupted again. */
const INTERRUPT_MS = 10;
/** How often changes are looked for while there is traffic; at once when there is none. */
const TELL_MS = 1;
/** How long changes gather after some were told. */
const GATHER_MS = 5;
/** How long calls under way may take to end when the server stops. */
const STOP_MS = 5_000;
const NS_PER_MS = 1e6;
/** Place of the first connection in the poll set, behind the mailbox. */
const FIRST_SEAT = 1;

export class Reactor {
  readonly #mailbox: Mailbox;
  readonly #services: ReactorServices;
  readonly #sessions: Sessions;
  readonly #strangers: Strangers;
  readonly #polls = new PollSet(4 + SESSIONS_MAX + 2 * GREETERS_MAX + WATCHES_MAX);
  readonly #spin = new Spin(true);
  readonly #log: (budget: LogBudget, text: string) => void;
  readonly #tell: (text: string) => void;
  /** What peers do wrong must not hide what this thread does. */
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();
  #tidiedNs = 0;
  /** When changes were looked for last, and when there were any. */
  #lookedNs = 0;
  #toldNs = 0;
  #polledNs = 0;
  #mountsSeen = 0;
  #identitiesSeen = 0;
  /** The connections of which it is known whether they may have anything, and how many of them. */
  #asked: readonly Connected[] | undefined;
  #askedCount = 0;
  /** 1 for those that may: they had something in the last round, or poll(2) says so. */
  readonly #mayHave = new Uint8Array(SESSIONS_MAX);
  /** Whether changes that were heard of wait to be sent. */
  #untold = false;
  /** Whether anything has happened since the gauges were refreshed. */
  #gaugesOld = false;

  /** `index`: which of `mailboxes`, those of all reactors, is its own. */
  constructor(
    index: number,
    mailboxes: readonly Mailbox[],
    registry: Registry,
    services: ReactorServices,
    log: (level: "info" | "warn", text: string) => void,
  ) {
    this.#mailbox = mailboxes[index] as Mailbox;
    this.#services = services;
    this.#log = (budget, text) => {
      const line = budget.admit(text);
      if (line !== undefined) log("warn", line);
    };
    const wake = (reactor: number) => mailboxes[reactor]?.wake();
    const tell = (text: string) => log("info", text);
    this.#sessions = new Sessions(index, registry, services, wake, tell);
    this.#tell = tell;
    const report = (peer: string, error: unknown) => this.#report(peer, error);
    this.#strangers = new Strangers(index, mailboxes, this.#sessions, services.bridge, report);
  }

  /** Goes on with the sessions that an earlier process of this server has left, before `run`. */
  adopt(names: readonly string[]): string[] {
    const { records } = this.#services;
    for (const name of names) {
      const record = records.open(name);
      if (record === IN_USE) continue;
      if (typeof record === "string") {
        this.#tell(`A record of a session is of no use: ${record}`);
      } else if (record.details === undefined || record.details.server === records.server) {
        this.#tell(this.#sessions.adopt(record));
      } else {
        record.close();
      }
    }
    this.#refreshGauges();
    return [...this.#sessions.all].map(({ session }) => session.owner);
  }

  /** Serves until told to stop. */
  run(): void {
    const { heartbeat } = this.#services.counters;
    while (!this.#mailbox.stopping) {
      heartbeat.beat(At.LOOKING);
      let worked = this.#strangers.take();
      if (worked) this.#refreshGauges();
      if (this.#serveAll()) worked = true;
      if (this.#services.calls.finish()) {
        worked = true;
        for (const { connection } of this.#sessions.connected) flush(connection);
        this.#sessions.disposeEnded();
      }
      if (worked) {
        this.#spin.worked();
        this.#gaugesOld = true;
        if (this.#spin.pays) this.#asked = undefined;
      } else if (this.#untold) this.#tellChanges();
      else if (this.#spin.again()) this.#asked = undefined;
      else this.#look(this.#timeoutMs());
      this.#tidy();
    }
    this.#finish();
  }

  /** Serves what connections have, of which some are known to have nothing; true if there was anything. */
  #serveAll(): boolean {
    const { connected } = this.#sessions;
    const known = connected === this.#asked ? this.#askedCount : 0;
    let worked = false;
    for (let i = 0; i < connected.length; i++) {
      if (i < known && this.#mayHave[i] === 0) continue;
      const had = this.#serve(connected[i] as Connected);
      this.#mayHave[i] = had ? 1 : 0;
      if (had) worked = true;
    }
    this.#asked = connected;
    this.#askedCount = connected.length;
    return worked;
  }

  /** Serves what one connection has; true if there was anything. */
  #serve({ session, connection }: Connected): boolean {
    if (connection.congested) return flush(connection);
    const got = connection.receive(AHEAD_BYTES);
    try {
      if (got > 0 || connection.hasMore) {
        this.#turnTo(session.tree?.watched);
        serve(session);
      }
      if (session.tree?.watched.waits) session.tree.watched.flush();
    } catch (error) {
      this.#report(connection.peer.description, error);
      const known = error instanceof ProtocolError;
      const reason = known ? error.message : "the server had an internal error: see its log";
      sayGoodbye(connection, Goodbye.PROTOCOL, reason);
    }
    if (connection.pending) connection.flush();
    return got !== 0;
  }

  /** From now on the thread acts for a session's client, or for none. */
  #turnTo(watched: Watched | undefined): void {
    if (this.#services.watcher.turnTo(watched)) this.#untold = true;
  }

  /** Logs why a connection is being closed. */
  #report(peer: string, error: unknown): void {
    if (!(error instanceof Refusal)) this.#services.counters.protocolErrors++;
    if (error instanceof ProtocolError || error instanceof Refusal) {
      this.#log(this.#ofPeers, `Closed the connection of ${peer}: ${error.message}`);
      return;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#log(this.#ofFaults, `Closed the connection of ${peer} after a fault: ${text}`);
  }

  /** Waits at most `timeoutMs` for anything to do, and sees to polls and cancelled calls. */
  #look(timeoutMs: number): void {
    const polls = this.#polls;
    polls.clear();
    polls.add(this.#mailbox.wakeFd, POLLIN);
    const { connected } = this.#sessions;
    for (const { connection } of connected) {
      polls.add(connection.fd, connection.pending ? POLLOUT : POLLIN);
    }
    const seats = connected.length;
    this.#strangers.addTo(polls);
    // After changes were told, more of them gather a while: the kernel merges the same ones.
    const gatherMs = GATHER_MS - (Bun.nanoseconds() - this.#toldNs) / NS_PER_MS;
    const changes = polls.add(gatherMs > 0 ? -1 : this.#services.watcher.fd, POLLIN);
    const happenings = polls.add(this.#services.watcher.happenings.fd, POLLIN);
    this.#services.polls.addTo(polls);
    const { mounts } = this.#services;
    mounts.addTo(polls);
    const { heartbeat } = this.#services.counters;
    heartbeat.beat(At.ASLEEP);
    const waitMs = gatherMs > 0 ? boundedBy(timeoutMs, Math.ceil(gatherMs)) : timeoutMs;
    polls.wait(mounts.waitMs() < 0 ? waitMs : boundedBy(waitMs, mounts.waitMs()));
    heartbeat.beat(At.LOOKING);
    for (let i = 0; i < seats; i++) this.#mayHave[i] = polls.mayBeReady(FIRST_SEAT + i) ? 1 : 0;
    this.#asked = connected;
    this.#askedCount = seats;
    mounts.polled(polls);
    if (polls.revents(0) !== 0) {
      drainEventfd(this.#mailbox.wakeFd);
      this.#sessions.dropEvicted();
      this.#lookAtIdentities();
      this.#gaugesOld = true;
    }
    this.#services.polls.deliver(polls);
    const mayHaveChanged = gatherMs > 0 || polls.revents(changes) !== 0;
    this.#tellChanges(mayHaveChanged, polls.revents(happenings) !== 0);
    if (this.#services.calls.cancelling) this.#services.calls.interruptAgain();
  }

  /** Ends the sessions of those who may not be there any more. */
  #lookAtIdentities(): void {
    const { gate } = this.#services;
    const changes = this.#mailbox.identityChanges;
    if (gate === undefined || changes === this.#identitiesSeen) return;
    this.#identitiesSeen = changes;
    try {
      gate.refresh();
    } catch (error) {
      this.#log(this.#ofFaults, `The identities cannot be read anew: ${(error as Error).message}`);
    }
    this.#sessions.dropUnwelcome((peer, reason) => {
      this.#log(this.#ofPeers, `Ended the session of ${peer}: ${reason}`);
    });
  }

  /** Tells the clients what has changed on the HOST behind their backs. */
  #tellChanges(hasChanged = true, hasHappened = true): void {
    const now = Bun.nanoseconds();
    const { watcher } = this.#services;
    this.#lookedNs = now;
    this.#untold = false;
    // First: a name that is still known when the kernel hears of its end takes its watches along.
    if (hasHappened) watcher.happenings.deliver();
    if (hasChanged && watcher.deliver()) this.#toldNs = now;
    this.#lookAtMounts(now);
    for (const { session, connection } of this.#sessions.connected) {
      const watched = session.tree?.watched;
      if (watched?.waits) watched.flush();
      session.tree?.mounts?.flush();
      if (connection.pending) connection.flush();
    }
  }

  /** Sees what was mounted and unmounted on the HOST, for all sessions that show it. */
  #lookAtMounts(nowNs: number): void {
    const { mounts } = this.#services;
    mounts.look(nowNs);
    if (mounts.takeWake(nowNs)) {
      for (const { session } of this.#sessions.all) session.tree?.mounts?.hold(nowNs);
    }
    if (mounts.version === this.#mountsSeen) return;
    this.#mountsSeen = mounts.version;
    this.#gaugesOld = true;
    for (const { session } of this.#sessions.all) session.tree?.mounts?.look();
  }

  #timeoutMs(): number {
    if (this.#services.calls.polling) return POLL_WAITS_MS;
    if (this.#services.calls.cancelling) return INTERRUPT_MS;
    const { dueNs, leaving } = this.#sessions;
    const idle = !this.#strangers.any && !this.#gaugesOld && !leaving;
    const timeoutMs = idle ? -1 : TIDY_MS;
    const dueMs = Math.max(0, Math.ceil((dueNs - Bun.nanoseconds()) / NS_PER_MS));
    return dueMs === Number.POSITIVE_INFINITY ? timeoutMs : boundedBy(timeoutMs, dueMs);
  }

  #tidy(): void {
    if (this.#sessions.connected.some(({ connection }) => connection.closed)) this.#reap();
    const now = Bun.nanoseconds();
    if (now - this.#lookedNs > TELL_MS * NS_PER_MS) this.#tellChanges();
    this.#pollWaits(now);
    if (now >= this.#sessions.dueNs) {
      this.#turnTo(undefined);
      this.#sessions.expire(now);
      this.#gaugesOld = true;
    }
    if (now - this.#tidiedNs < TIDY_MS * NS_PER_MS) return;
    this.#tidiedNs = now;
    this.#sessions.dropEvicted();
    this.#lookAtIdentities();
    // A thread that never sleeps has to look after these all the same.
    if (this.#services.polls.size > 0 || this.#services.calls.cancelling) this.#look(0);
    this.#strangers.tidy(now);
    this.#services.bridge.flush();
    this.#refreshGauges();
  }

  #reap(): void {
    this.#turnTo(undefined);
    for (let ended = this.#sessions.reap(); ended > 0; ended--) this.#mailbox.ended();
    this.#refreshGauges();
  }

  /** Tries again what waits without a thread. */
  #pollWaits(now: number): void {
    const { calls } = this.#services;
    if (!calls.polling || now - this.#polledNs < POLL_WAITS_MS * NS_PER_MS) return;
    this.#polledNs = now;
    if (!calls.pollWaits()) return;
    for (const { connection } of this.#sessions.connected) flush(connection);
  }

  #refreshGauges(): void {
    this.#gaugesOld = false;
    refreshGauges(this.#services, this.#sessions);
  }

  /** Lets calls that end by themselves come to their end, sends all answers, and says goodbye. */
  #finish(): void {
    const { calls } = this.#services;
    const deadlineNs = Bun.nanoseconds() + STOP_MS * NS_PER_MS;
    const polls = this.#polls;
    while (true) {
      calls.finish();
      polls.clear();
      polls.add(this.#mailbox.wakeFd, POLLIN);
      for (const { connection } of this.#sessions.connected) {
        if (connection.pending && !connection.flush()) polls.add(connection.fd, POLLOUT);
      }
      const pending = this.#sessions.connected.some(({ connection }) => connection.pending);
      const leftMs = Math.ceil((deadlineNs - Bun.nanoseconds()) / NS_PER_MS);
      if ((calls.underWay === 0 && !pending) || leftMs <= 0) break;
      polls.wait(leftMs);
      drainEventfd(this.#mailbox.wakeFd);
    }
    for (const { session, connection } of this.#sessions.connected) {
      sayGoodbye(connection, Goodbye.SHUTDOWN, "server is stopping");
      session.cancelAll();
    }
    calls.stop();
  }
}

/** Sends what is pending; true if any of it left, or the connection turned out to be gone. */
function flush(connection: SocketTransport): boolean {
  if (!connection.pending) return false;
  const before = connection.bytesSent;
  connection.flush();
  return connection.bytesSent !== before || connection.closed;
}

/** A poll timeout (-1: none) of at most `boundMs`. */
function boundedBy(timeoutMs: number, boundMs: number): number {
  return timeoutMs < 0 ? boundMs : Math.min(timeoutMs, boundMs);
}

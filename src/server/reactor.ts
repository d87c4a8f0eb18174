/**
 * One thread of the server: serves its sessions' requests as they come, looks
 * for more a while, then sleeps until there are any. It never waits for anything
 * else; what may take long is in its call threads.
 */
import type { Counters } from "../info/counters.ts";
import { Spin } from "../session/spin.ts";
import { close } from "../sys/open.ts";
import { drainEventfd, POLLIN, POLLOUT, PollSet } from "../sys/poll.ts";
import { peerCredentials } from "../sys/socket.ts";
import { SocketTransport } from "../transport/socket.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { GREETERS_MAX, GREETING_TIMEOUT_MS, SESSIONS_MAX } from "../wire/limits.ts";
import { POLL_WAITS_MS } from "./calls.ts";
import { LogBudget } from "./logbudget.ts";
import type { Mailbox } from "./mailbox.ts";
import { WATCHES_MAX } from "./polls.ts";
import type { ReactorServices } from "./services.ts";
import { Session } from "./session.ts";

/** How often gauges are refreshed and greetings checked while there is traffic. */
const TIDY_MS = 500;
/** Sessions that end before their memory is collected: the thread is never idle in JavaScript. */
const COLLECT_AFTER = 64;
/** How soon a cancelled call is interrupted again. */
const INTERRUPT_MS = 10;
/** How often changes are looked for while there is traffic; at once when there is none. */
const TELL_MS = 1;
/** How long changes gather after some were told. */
const GATHER_MS = 5;
const NS_PER_MS = 1e6;

interface Seat {
  readonly session: Session;
  readonly transport: SocketTransport;
  readonly sinceNs: number;
  index: number;
}

export class Reactor {
  readonly #mailbox: Mailbox;
  readonly #services: ReactorServices;
  readonly #counters: Counters;
  readonly #polls = new PollSet(3 + SESSIONS_MAX + WATCHES_MAX);
  readonly #spin = new Spin();
  readonly #log: (budget: LogBudget, text: string) => void;
  /** What peers do wrong must not hide what this thread does. */
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();
  #seats: Seat[] = [];
  #disposed = 0;
  #tidiedNs = 0;
  /** Bytes of connections that have ended. */
  #endedIn = 0;
  #endedOut = 0;
  /** When changes were looked for last, and when there were any. */
  #lookedNs = 0;
  #toldNs = 0;
  #polledNs = 0;
  /** Whether anything has happened since the gauges were refreshed. */
  #gaugesOld = false;
  /** Sessions whose calls had not ended when their connection did. */
  #leaving: Session[] = [];

  constructor(
    mailbox: Mailbox,
    services: ReactorServices,
    log: (level: "info" | "warn", text: string) => void,
  ) {
    this.#mailbox = mailbox;
    this.#services = services;
    this.#counters = services.counters;
    this.#log = (budget, text) => {
      const line = budget.admit(text);
      if (line !== undefined) log("warn", line);
    };
  }

  /** Serves until told to stop. */
  run(): void {
    while (!this.#mailbox.stopping) {
      let worked = this.#takeConnections();
      for (let i = 0; i < this.#seats.length; i++) {
        if (this.#serve(this.#seats[i] as Seat)) worked = true;
      }
      if (this.#services.calls.finish()) {
        worked = true;
        for (const seat of this.#seats) this.#flush(seat);
      }
      if (worked) {
        this.#spin.worked();
        this.#gaugesOld = true;
      } else if (!this.#spin.again()) this.#look(this.#timeoutMs());
      this.#tidy();
    }
    for (const seat of this.#seats) seat.session.end(Goodbye.SHUTDOWN, "server is stopping");
    this.#reap();
    this.#services.calls.stop();
  }

  #takeConnections(): boolean {
    let any = false;
    for (let fd = this.#mailbox.take(); fd >= 0; fd = this.#mailbox.take()) {
      const who = peerCredentials(fd);
      const known = typeof who !== "number" && who.pid > 0;
      const peer = known
        ? { description: `uid ${who.uid}, pid ${who.pid}`, uid: who.uid }
        : { description: "a TCP client" };
      if (this.#seats.filter((seat) => !seat.session.greeted).length >= GREETERS_MAX) {
        this.#log(this.#ofPeers, `Refused ${peer.description}: too many clients that say nothing`);
        close(fd);
        this.#mailbox.ended();
        continue;
      }
      const transport = new SocketTransport(fd, peer);
      const session = new Session(transport, this.#services);
      this.#seats.push({ session, transport, sinceNs: Bun.nanoseconds(), index: -1 });
      any = true;
    }
    return any;
  }

  /** Serves what one connection has; true if there was anything. */
  #serve(seat: Seat): boolean {
    const { session, transport } = seat;
    if (transport.congested) return this.#flush(seat);
    const got = transport.receive();
    try {
      if (got > 0 || transport.hasMore) session.serve();
    } catch (error) {
      this.#fault(seat, error);
    }
    if (transport.pending) transport.flush();
    return got !== 0;
  }

  #flush(seat: Seat): boolean {
    if (!seat.transport.pending) return false;
    const before = seat.transport.bytesSent;
    seat.transport.flush();
    return seat.transport.bytesSent !== before || seat.transport.closed;
  }

  #fault(seat: Seat, error: unknown): void {
    const { session, transport } = seat;
    if (error instanceof ProtocolError) {
      const text = `Closed the connection of ${transport.peer.description}: ${error.message}`;
      this.#log(this.#ofPeers, text);
      session.end(Goodbye.PROTOCOL, error.message);
      return;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#log(
      this.#ofFaults,
      `Closed the connection of ${transport.peer.description} after a fault: ${text}`,
    );
    session.end(Goodbye.PROTOCOL, "the server had an internal error: see its log");
  }

  /** Waits at most `timeoutMs` for anything to do, and sees to polls and cancelled calls. */
  #look(timeoutMs: number): void {
    const polls = this.#polls;
    polls.clear();
    polls.add(this.#mailbox.wakeFd, POLLIN);
    for (const seat of this.#seats) {
      seat.index = polls.add(seat.transport.fd, seat.transport.pending ? POLLOUT : POLLIN);
    }
    // After changes were told, more of them gather a while: the kernel merges the same ones.
    const gatherMs = GATHER_MS - (Bun.nanoseconds() - this.#toldNs) / NS_PER_MS;
    polls.add(gatherMs > 0 ? -1 : this.#services.watcher.fd, POLLIN);
    this.#services.polls.addTo(polls);
    polls.wait(gatherMs > 0 ? boundedBy(timeoutMs, Math.ceil(gatherMs)) : timeoutMs);
    if (polls.revents(0) !== 0) drainEventfd(this.#mailbox.wakeFd);
    this.#services.polls.deliver(polls);
    this.#tellChanges();
    if (this.#services.calls.cancelling) this.#services.calls.interruptAgain();
  }

  /** Tells the clients what has changed on the HOST behind their backs. */
  #tellChanges(): void {
    const now = Bun.nanoseconds();
    this.#lookedNs = now;
    if (this.#services.watcher.deliver()) this.#toldNs = now;
    for (const { session, transport } of this.#seats) {
      const watched = session.tree?.watched;
      if (watched?.waits) watched.flush();
      if (transport.pending) transport.flush();
    }
  }

  #timeoutMs(): number {
    if (this.#services.calls.polling) return POLL_WAITS_MS;
    if (this.#services.calls.cancelling) return INTERRUPT_MS;
    const greeting = this.#seats.some((seat) => !seat.session.greeted);
    return greeting || this.#gaugesOld || this.#leaving.length > 0 ? TIDY_MS : -1;
  }

  #tidy(): void {
    if (this.#seats.some((seat) => seat.transport.closed)) this.#reap();
    const now = Bun.nanoseconds();
    if (now - this.#lookedNs > TELL_MS * NS_PER_MS) this.#tellChanges();
    this.#pollWaits(now);
    if (now - this.#tidiedNs < TIDY_MS * NS_PER_MS) return;
    this.#tidiedNs = now;
    if (this.#leaving.length > 0) this.#reap();
    // A thread that never sleeps has to look after these all the same.
    if (this.#services.polls.size > 0 || this.#services.calls.cancelling) this.#look(0);
    for (const seat of this.#seats) {
      const age = now - seat.sinceNs;
      if (!seat.session.greeted && age > GREETING_TIMEOUT_MS * NS_PER_MS) {
        seat.session.end(Goodbye.PROTOCOL, "no HELLO in time");
      }
    }
    this.#refreshGauges();
  }

  /** Tries again what waits without a thread. */
  #pollWaits(now: number): void {
    const { calls } = this.#services;
    if (!calls.polling || now - this.#polledNs < POLL_WAITS_MS * NS_PER_MS) return;
    this.#polledNs = now;
    if (calls.pollWaits()) for (const seat of this.#seats) this.#flush(seat);
  }

  /** Lets go of sessions whose connection is closed, once none of their calls runs. */
  #reap(): void {
    for (const seat of this.#seats) {
      if (!seat.transport.closed) continue;
      seat.session.cancelAll();
      this.#endedIn += seat.transport.bytesReceived;
      this.#endedOut += seat.transport.bytesSent;
      this.#leaving.push(seat.session);
      this.#mailbox.ended();
    }
    this.#seats = this.#seats.filter((seat) => !seat.transport.closed);
    this.#leaving = this.#leaving.filter((session) => {
      if (session.waiting > 0) return true;
      session.dispose();
      (session.transport as SocketTransport).release();
      this.#disposed++;
      return false;
    });
    this.#refreshGauges();
    if (this.#disposed < COLLECT_AFTER) return;
    this.#disposed = 0;
    Bun.gc(true);
  }

  #refreshGauges(): void {
    this.#gaugesOld = false;
    const sum = (of: (seat: Seat) => number) => this.#seats.reduce((n, seat) => n + of(seat), 0);
    const c = this.#counters;
    c.gauge("SESSIONS", this.#seats.length);
    c.gauge(
      "NODES",
      sum((s) => s.session.tree?.nodes.count ?? 0),
    );
    c.gauge(
      "HANDLES",
      sum((s) => s.session.tree?.handles.count ?? 0),
    );
    c.gauge(
      "LOCKS",
      sum((s) => s.session.tree?.locks.size ?? 0),
    );
    c.gauge(
      "WAITING",
      sum((s) => s.session.waiting),
    );
    c.gauge("BYTES_IN", this.#endedIn + sum((s) => s.transport.bytesReceived));
    c.gauge("BYTES_OUT", this.#endedOut + sum((s) => s.transport.bytesSent));
    c.gauge("WATCHES", this.#services.polls.size);
    c.gauge("THREADS", this.#services.calls.threads);
  }
}

/** A poll timeout (-1: none) of at most `boundMs`. */
function boundedBy(timeoutMs: number, boundMs: number): number {
  return timeoutMs < 0 ? boundMs : Math.min(timeoutMs, boundMs);
}

/** What a rexec-server serves in its thread: listeners, greetings, sessions, programs. */
import type { Loop } from "../../bridge/loop.ts";
import { answerHello, checkVersion, Refusal, sayGoodbye } from "../../server/greeting.ts";
import { LogBudget } from "../../server/logbudget.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { accept, setBuffers, tuneTcp } from "../../sys/socket.ts";
import { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello, type Facts } from "../../wire/hello.ts";
import { GREETERS_MAX, PROGRAMS_MAX } from "../../wire/limits.ts";
import type { Order } from "../order.ts";
import { Acting } from "./acting.ts";
import { type Client, identifyClient } from "./client.ts";
import { Newcomer } from "./newcomer.ts";
import type { Admission, Program } from "./program.ts";
import { describeOrder, type Rules } from "./rules.ts";
import { RexecSession, type SessionHost } from "./session.ts";
import { watchStops } from "./stops.ts";

const SOCKET_BUFFER_BYTES = 1024 * 1024;
/** How long to wait where there is no descriptor or memory for a connection. */
const ACCEPT_PAUSE_MS = 50;
/** How often what is told of running programs is refreshed. */
const REFRESH_MS = 500;

/** A listening socket; `uids`: who may connect to a unix socket. */
export interface Listener {
  readonly fd: number;
  readonly isUnix: boolean;
  readonly uids: readonly number[];
}

/** What is told of a program when it starts and when it has ended. */
export interface ProgramReport {
  id: number;
  pid: number;
  uid: number;
  peer: string;
  words: string[];
  startedMs: number;
  bytesIn: number;
  bytesOut: number;
  /** Absent while it runs. */
  ending?: { code: number; signal: number };
}

export interface ServiceOptions {
  readonly loop: Loop;
  readonly listeners: readonly Listener[];
  readonly rules: Rules;
  readonly facts: Facts;
  readonly leaseMs: number;
  readonly groups: readonly number[];
  readonly log: (level: "info" | "warn", text: string) => void;
  readonly report: (program: ProgramReport) => void;
}

export class Service implements SessionHost {
  readonly loop: Loop;
  readonly leaseMs: number;
  readonly acting: Acting;
  readonly #options: ServiceOptions;
  readonly #sessions = new Map<string, RexecSession>();
  readonly #newcomers = new Set<Newcomer>();
  /** Programs that are not over, by their numbers here. */
  readonly #programs = new Map<Program, number>();
  #count = 0;
  #refreshedMs = 0;
  readonly #ofPeers = new LogBudget();
  readonly #ofFaults = new LogBudget();

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.loop = options.loop;
    this.leaseMs = options.leaseMs;
    this.acting = new Acting(options.groups);
    this.loop.beforeSleep(() => this.#refresh());
    watchStops(this.loop, ({ pid, signal }) => this.#programOf(pid)?.stopped(signal));
    for (const listener of options.listeners) {
      this.loop.add(listener.fd, EPOLLIN, { onEvents: () => this.#accept(listener) });
    }
  }

  /** Ends all sessions, and the programs that do not outlive them. */
  close(): void {
    for (const { fd } of this.#options.listeners) {
      this.loop.remove(fd);
      close(fd);
    }
    for (const session of [...this.#sessions.values()]) {
      session.end.sayGoodbye(Goodbye.SHUTDOWN, "the rexec-server was stopped");
      session.close();
    }
  }

  admit(program: Program, order: Order, words: () => string[]): Admission {
    return this.#options.rules.admit(program, order, words, this.#programs.size);
  }

  refused(program: Program, sentence: string): void {
    const line = this.#ofPeers.admit(`Refused ${describeOrder(program)}: ${sentence}`);
    if (line !== undefined) this.#options.log("warn", line);
  }

  started(program: Program): void {
    this.#programs.set(program, ++this.#count);
    this.#options.log(
      "info",
      `Program ${this.#count}, pid ${program.pid}: ${describeOrder(program)}`,
    );
    this.#options.report(this.#reportOf(program, this.#count));
  }

  ended(program: Program): void {
    const id = this.#programs.get(program);
    const { ending } = program;
    if (id === undefined || ending === undefined) return;
    const how =
      ending.signal > 0 ? `died of signal ${ending.signal}` : `exited with ${ending.code}`;
    const seconds = ((this.loop.nowMs - program.sinceMs) / 1000).toFixed(3);
    this.#options.log("info", `Program ${id}, pid ${program.pid}: ${how} after ${seconds} s`);
    this.#options.report(this.#reportOf(program, id));
  }

  gone(program: Program): void {
    this.#programs.delete(program);
  }

  sessionEnded(session: RexecSession): void {
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name);
  }

  fault(session: RexecSession, error: unknown): void {
    this.#report(session.client.description, error);
  }

  #programOf(pid: number): Program | undefined {
    for (const program of this.#programs.keys()) if (program.pid === pid) return program;
    return undefined;
  }

  /** Tells anew of those that run, while anything happens. */
  #refresh(): boolean {
    const now = this.loop.nowMs;
    if (now - this.#refreshedMs < REFRESH_MS) return false;
    this.#refreshedMs = now;
    for (const [program, id] of this.#programs) {
      if (program.runs) this.#options.report(this.#reportOf(program, id));
    }
    return false;
  }

  #reportOf(program: Program, id: number): ProgramReport {
    const { pid, uid, words, bytesIn, bytesOut, ending, sinceMs } = program;
    const peer = program.client.description;
    const startedMs = Date.now() - (this.loop.nowMs - sinceMs);
    return { id, pid, uid, peer, words, startedMs, bytesIn, bytesOut, ...(ending && { ending }) };
  }

  #accept(listener: Listener): void {
    const fd = accept(listener.fd);
    if (fd === -E.EAGAIN) return;
    if (fd < 0) {
      // The connection stays in the queue and would be found again at once.
      this.loop.modify(listener.fd, 0);
      this.loop.after(ACCEPT_PAUSE_MS, () => this.loop.modify(listener.fd, EPOLLIN));
      return;
    }
    const client = identifyClient(fd, listener.isUnix);
    const isKnown = !listener.isUnix || listener.uids.includes(client.uid ?? -1);
    if (!isKnown || this.#newcomers.size >= GREETERS_MAX) {
      const why = isKnown ? "too many clients that say nothing" : "this user may not connect";
      const transport = new SocketTransport(fd, client);
      this.#refuse(transport, new Refusal(isKnown ? Goodbye.BUSY : Goodbye.REFUSED, why));
      return;
    }
    if (!listener.isUnix) tuneTcp(fd);
    setBuffers(fd, SOCKET_BUFFER_BYTES);
    const newcomer: Newcomer = new Newcomer(this.loop, fd, client, {
      said: (hello) => {
        this.#newcomers.delete(newcomer);
        this.#greeted(fd, client, hello);
      },
      failed: (error) => {
        this.#newcomers.delete(newcomer);
        this.#refuse(new SocketTransport(fd, client), error);
      },
      gone: () => this.#newcomers.delete(newcomer),
    });
    this.#newcomers.add(newcomer);
  }

  #greeted(fd: number, client: Client, bytes: Uint8Array): void {
    const transport = new SocketTransport(fd, client);
    try {
      const hello = decodeClientHello(bytes);
      checkVersion(hello);
      if (hello.role !== "rexec") {
        throw new Refusal(Goodbye.REFUSED, `this is a rexec-server, not one for ${hello.role}`);
      }
      this.#connect(transport, client, hello);
    } catch (error) {
      this.#refuse(transport, error);
    }
  }

  #connect(transport: SocketTransport, client: Client, hello: ClientHello): void {
    const name = `${client.uid ?? -1}:${hello.session}`;
    const known = this.#sessions.get(name);
    if (known !== undefined) {
      if (!hello.resumes) throw new ProtocolError("session exists already");
      known.end.disconnect();
      known.continued();
      const { taken } = known.end;
      known.end.connect(transport, hello.events);
      answerHello(transport, this.#options, hello, { resumed: true, oneways: taken, lives: 1 });
      return;
    }
    if (hello.resumes)
      throw new Refusal(Goodbye.REFUSED, "the program's session is not known any more");
    if (this.#sessions.size >= PROGRAMS_MAX) throw new Refusal(Goodbye.BUSY, "too many programs");
    const session = new RexecSession(this, name, client);
    this.#sessions.set(name, session);
    answerHello(transport, this.#options, hello, { resumed: false, oneways: 0, lives: 1 });
    session.end.connect(transport, 0);
  }

  #refuse(transport: SocketTransport, error: unknown): void {
    const known = error instanceof ProtocolError || error instanceof Refusal;
    const reason = known ? error.message : "the server had an internal error: see its log";
    this.#report(transport.peer.description, error);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, reason);
    transport.release();
  }

  #report(peer: string, error: unknown): void {
    const isOfPeer = error instanceof ProtocolError || error instanceof Refusal;
    const text = error instanceof Error ? (isOfPeer ? error.message : error.stack) : String(error);
    const budget = isOfPeer ? this.#ofPeers : this.#ofFaults;
    const line = budget.admit(`Closed the connection of ${peer}: ${text}`);
    if (line !== undefined) this.#options.log("warn", line);
  }
}

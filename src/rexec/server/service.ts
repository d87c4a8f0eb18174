/** What a keeper does for its server's clients: sessions, and the programs that they order. */
import type { Loop } from "../../bridge/loop.ts";
import { answerHello, Refusal, sayGoodbye } from "../../server/greeting.ts";
import { LogBudget } from "../../server/logbudget.ts";
import { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import type { ClientHello, Facts } from "../../wire/hello.ts";
import { LEASE_MS, PROGRAMS_MAX, PROGRAMS_OF_USER_MAX } from "../../wire/limits.ts";
import type { Order } from "../order.ts";
import { Acting } from "./acting.ts";
import type { Client } from "./client.ts";
import type { Program } from "./program.ts";
import { ProgramRegister, type RegisterOptions } from "./register.ts";
import { type Admission, describeOrder, type Rule, RuleCounts, Rules } from "./rules.ts";
import { RexecSession, type SessionHost } from "./session.ts";
import { watchStops } from "./stops.ts";

export interface ServiceOptions extends RegisterOptions {
  readonly facts: Facts;
  /** This process's groups. */
  readonly groups: readonly number[];
}

export class Service implements SessionHost {
  readonly loop: Loop;
  leaseMs = LEASE_MS;
  readonly acting: Acting;
  readonly #options: ServiceOptions;
  readonly register: ProgramRegister;
  readonly #sessions = new Map<string, RexecSession>();
  #rules = new Rules([]);
  readonly #counts = new RuleCounts();
  readonly #ofPeers = new LogBudget();
  readonly #ofDenials = new LogBudget();
  readonly #ofFaults = new LogBudget();

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.loop = options.loop;
    this.acting = new Acting(options.groups);
    this.register = new ProgramRegister(options);
    watchStops(this.loop, ({ pid, signal }) => this.register.find(pid)?.stopped(signal));
  }

  /** What holds for the clients that come from now on. */
  configure(rules: readonly Rule[], leaseMs: number): void {
    this.#rules = new Rules(rules);
    this.leaseMs = leaseMs;
  }

  /** Whether there is nothing to keep. */
  get isIdle(): boolean {
    return this.#sessions.size === 0 && this.register.size === 0;
  }

  /** Goes on with a client that has said HELLO by `fd`, which is owned from now on. */
  take(fd: number, client: Client, hello: ClientHello): void {
    const transport = new SocketTransport(fd, client);
    try {
      this.#connect(transport, client, hello);
    } catch (error) {
      const known = error instanceof ProtocolError || error instanceof Refusal;
      const reason = known ? error.message : "the server had an internal error: see its log";
      this.#report(client.description, error);
      sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, reason);
      transport.release();
    }
  }

  /** Ends sessions, and the programs that do not outlive them: all, or those that do not wait for another server. */
  end(which: "all" | "unkept"): void {
    for (const session of [...this.#sessions.values()]) {
      if (which === "unkept" && session.isKept) continue;
      session.end.sayGoodbye(Goodbye.SHUTDOWN, "the rexec-server was stopped");
      session.close();
    }
  }

  /** Ends the sessions of a client that is not enrolled any more, and what runs for it. */
  revoke(name: string): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.client.name !== name) continue;
      session.end.sayGoodbye(Goodbye.REFUSED, "the name is not enrolled any more");
      session.close();
    }
  }

  /** The connection of a client by TLS was closed at the other end: `relay` is what the server calls it. */
  closed(relay: string): void {
    for (const session of this.#sessions.values()) {
      if (session.relay === relay) session.closedByClient();
    }
  }

  admit(program: Program, order: Order, words: () => string[]): Admission {
    const { size } = this.register;
    return this.#rules.admit(program.client, order, words, { all: size, by: this.#counts });
  }

  refused(program: Program, sentence: string): void {
    const line = this.#ofDenials.admit(`Refused ${describeOrder(program)}: ${sentence}`);
    if (line !== undefined) this.#options.log("warn", line);
  }

  started(program: Program): void {
    if (program.rule !== undefined) this.#counts.add(program.rule.name, 1);
    this.register.started(program);
  }

  ended(program: Program): void {
    if (program.rule !== undefined) this.#counts.add(program.rule.name, -1);
    this.register.ended(program);
  }

  gone(program: Program): void {
    this.register.gone(program);
  }

  sessionEnded(session: RexecSession): void {
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name);
  }

  fault(session: RexecSession, error: unknown): void {
    this.#report(session.client.description, error);
  }

  #connect(transport: SocketTransport, client: Client, hello: ClientHello): void {
    const name = `${client.uid ?? -1}:${hello.session}`;
    const services = { leaseMs: this.leaseMs, facts: this.#options.facts };
    const known = this.#sessions.get(name);
    if (known !== undefined) {
      if (!hello.resumes) throw new ProtocolError("session exists already");
      known.end.disconnect();
      const { taken } = known.end;
      known.connect(transport, hello.events, client, hello);
      answerHello(transport, services, hello, { resumed: true, oneways: taken, lives: 1 });
      return;
    }
    if (hello.resumes) {
      throw new Refusal(Goodbye.REFUSED, "the program's session is not known any more");
    }
    if (this.#isBusy(client)) throw new Refusal(Goodbye.BUSY, "too many programs");
    const session = new RexecSession(this, name, client);
    this.#sessions.set(name, session);
    answerHello(transport, services, hello, { resumed: false, oneways: 0, lives: 1 });
    session.connect(transport, 0, client, hello);
  }

  /** Whether there are too many: of all, or of its user, who is to leave some for others. */
  #isBusy({ uid, name }: Client): boolean {
    if (this.#sessions.size >= PROGRAMS_MAX) return true;
    if (uid === 0 || this.#sessions.size < PROGRAMS_OF_USER_MAX) return false;
    let ofUser = 0;
    for (const { client } of this.#sessions.values()) {
      if (client.uid === uid && client.name === name) ofUser++;
    }
    return ofUser >= PROGRAMS_OF_USER_MAX;
  }

  #report(peer: string, error: unknown): void {
    const isOfPeer = error instanceof ProtocolError || error instanceof Refusal;
    const text = error instanceof Error ? (isOfPeer ? error.message : error.stack) : String(error);
    const budget = isOfPeer ? this.#ofPeers : this.#ofFaults;
    const line = budget.admit(`Closed the connection of ${peer}: ${text}`);
    if (line !== undefined) this.#options.log("warn", line);
  }
}

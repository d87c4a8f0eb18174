/** One client's session: its programs, over connections that come and go. */
import { BridgeEnd, type BridgeOwner } from "../../bridge/end.ts";
import type { Loop, Watched } from "../../bridge/loop.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { pidfdOpen } from "../../sys/process.ts";
import { tcpUnanswered } from "../../sys/sockopt.ts";
import type { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import type { ClientHello } from "../../wire/hello.ts";
import { ORDER_MAX } from "../../wire/limits.ts";
import { StreamKind } from "../../wire/streams.ts";
import { integer } from "../order.ts";
import type { Client } from "./client.ts";
import { isDirect } from "./direct.ts";
import { Program, type ProgramHost, type ProgramOwner, readPlace } from "./program.ts";

/**
 * How long a client may take to come again that has closed its connection, or whose kernel has:
 * longer than one that lives needs, whose attempts last 3 s at most (client/twins/bridgedialer.ts).
 */
const RETURN_MS = 5000;

export interface SessionHost extends ProgramHost {
  readonly loop: Loop;
  readonly leaseMs: number;
  sessionEnded(session: RexecSession): void;
  fault(session: RexecSession, error: unknown): void;
}

export class RexecSession implements BridgeOwner, ProgramOwner, Watched {
  readonly end: BridgeEnd;
  readonly name: string;
  readonly client: Client;
  readonly #host: SessionHost;
  readonly #programs = new Map<number, Program>();
  /** Readable once the client's process has ended, where that can be told; or -1. */
  #clientFd = -1;
  clientPid = -1;
  /** What the server calls its connection, where only that has it (Client.relay). */
  relay: string | undefined;
  /** The server has said of that that it was closed at the other end. */
  #isClosed = false;
  /** Whether the connection's other end is the client's own kernel. */
  #isDirect = false;
  #cancelLease: (() => void) | undefined;
  isEnded = false;

  constructor(host: SessionHost, name: string, client: Client) {
    this.#host = host;
    this.name = name;
    this.client = client;
    this.end = new BridgeEnd(host.loop, "server", this);
    this.end.handle(StreamKind.PROGRAM, (stream, [length]) => {
      if (this.#programs.size > 0) return E.EBUSY;
      const max = ORDER_MAX;
      const program = new Program(host, this, stream, integer(length, max));
      this.#programs.set(stream.id, program);
      return program;
    });
    this.end.handle(StreamKind.PROGRAM_FD, (stream, items) => {
      const [id, place, kind] = readPlace(items);
      return this.#programs.get(id)?.takeFd(stream, place, kind) ?? E.ESRCH;
    });
  }

  get connected(): boolean {
    return this.end.connected;
  }

  /** Whether it waits for its client for ever: a program of its runs that is to. */
  get isKept(): boolean {
    for (const program of this.#programs.values()) {
      if (program.isKept && program.runs) return true;
    }
    return false;
  }

  /** The client's process has ended, whatever became of its connection. */
  onEvents(): void {
    this.close();
  }

  /** Goes on over `transport`, by which `client` has come; as BridgeEnd.connect. */
  connect(transport: SocketTransport, count: number, client: Client, hello: ClientHello): void {
    this.#stopLease();
    this.clientPid = hello.facts.pid;
    this.relay = client.relay;
    this.#isClosed = false;
    this.#isDirect = isDirect(client, hello);
    this.#watch(this.#isDirect ? client.pid : -1);
    this.end.connect(transport, count, hello.capabilities);
  }

  #stopLease(): void {
    this.#cancelLease?.();
    this.#cancelLease = undefined;
  }

  /** Ends, with the programs that do not outlive it. */
  close(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#stopLease();
    this.#unwatch();
    for (const program of this.#programs.values()) program.abandon();
    this.end.close(E.ECONNRESET);
    this.#host.sessionEnded(this);
  }

  /**
   * A client that lives comes again at once when its connection was closed, and a connection that
   * was only cut does not say so: nobody on the way does where it is direct.
   */
  disconnected(byPeer = false): void {
    const { leaseMs, loop } = this.#host;
    // A relay ends with the server, too.
    const isClosed = this.relay === undefined ? byPeer : this.#isClosed;
    const isGone = isClosed && this.#isDirect && this.#clientFd < 0;
    this.#cancelLease ??= loop.after(isGone ? Math.min(RETURN_MS, leaseMs) : leaseMs, () => {
      if (!this.isKept) this.close();
    });
  }

  /** Its connection, which the server has, was closed at the other end: that is told after its end, or before. */
  closedByClient(): void {
    this.#isClosed = true;
    if (this.#cancelLease === undefined) return;
    this.#stopLease();
    this.disconnected();
  }

  /** One that is stopped acknowledges nothing, and its kernel answers still. */
  isOutOfReach(fd: number): boolean {
    if (!this.#isDirect) return true;
    if (this.#clientFd >= 0) return false;
    const unanswered = tcpUnanswered(fd);
    // One may be on its way.
    return unanswered < 0 || unanswered > 1;
  }

  /** Its client may be away, and has a lease from now on to come for what the program has left. */
  programEnded(): void {
    if (this.isEnded || this.connected) return;
    this.#stopLease();
    this.disconnected();
  }

  goodbye(code: number): void {
    if (code === Goodbye.DONE) this.close();
    else this.disconnected();
  }

  failed(error: unknown): void {
    this.#host.fault(this, error);
    const isOfClient = error instanceof ProtocolError;
    const reason = isOfClient ? error.message : "the server had an internal error: see its log";
    this.end.sayGoodbye(Goodbye.PROTOCOL, reason);
    this.close();
  }

  #watch(pid: number): void {
    this.#unwatch();
    if (pid <= 0) return;
    this.#clientFd = pidfdOpen(pid);
    if (this.#clientFd >= 0) this.#host.loop.add(this.#clientFd, EPOLLIN, this);
  }

  #unwatch(): void {
    if (this.#clientFd < 0) return;
    this.#host.loop.remove(this.#clientFd);
    close(this.#clientFd);
    this.#clientFd = -1;
  }
}

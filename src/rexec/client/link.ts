/**
 * The connection to the rexec-server: made at once or not at all, and made anew when it is
 * lost, for as long as the server keeps the program for us.
 */
import { BridgeEnd, type BridgeOwner } from "../../bridge/end.ts";
import type { Loop } from "../../bridge/loop.ts";
import { expectFrame } from "../../client/connect.ts";
import { readHello, type SessionName, sayHello, transportOn } from "../../client/greeting.ts";
import { BridgeDialer } from "../../client/twins/bridgedialer.ts";
import { machineFacts } from "../../info/facts.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { type Address, formatAddress } from "../../transport/address.ts";
import { connectTo } from "../../transport/endpoint.ts";
import type { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { Kind } from "../../wire/frame.ts";
import type { ServerHello } from "../../wire/hello.ts";
import { isExpected } from "./restart.ts";

const SESSION_BYTES = 16;
/** How long a server may take to answer. */
const ANSWER_MS = 10_000;
/** How long a server whose keeper waits for it is waited for. */
const RESTART_MS = 2000;
const RESTART_STEP_MS = 20;

export class RexecLink implements BridgeOwner {
  readonly end: BridgeEnd;
  readonly #loop: Loop;
  readonly #address: Address;
  readonly #lost: (why: string) => void;
  readonly #id = newId();
  readonly #facts = machineFacts();
  readonly #dialer: BridgeDialer;
  #leaseMs = 0;
  #cancelLease: (() => void) | undefined;
  #isClosed = false;
  #isKept = false;

  /** Connects; throws a sentence where that cannot be. `lost` is told when the session is lost. */
  constructor(loop: Loop, address: Address, lost: (why: string) => void) {
    this.#loop = loop;
    this.#address = address;
    this.#lost = lost;
    this.end = new BridgeEnd(loop, "client", this);
    const [transport, hello] = this.#connect();
    this.#dialer = new BridgeDialer(loop, {
      addresses: [address],
      facts: this.#facts,
      session: () => this.#name(true),
      reached: (resumed, hello) => this.#reached(resumed, hello),
      // One that was reached and does not take the session never will.
      refused: (reason) => this.#lost(reason),
    });
    this.#leaseMs = hello.leaseMs;
    this.end.connect(transport, 0, hello.capabilities);
  }

  /** The program waits for us whenever we come. */
  waitForEver(): void {
    this.#isKept = true;
  }

  /** Ends the session: the server ends what still runs, unless it is to outlive us. */
  close(): void {
    this.#isClosed = true;
    this.end.flush();
    this.end.sayGoodbye(Goodbye.DONE, "done");
  }

  disconnected(): void {
    if (this.#isClosed || this.#cancelLease !== undefined) return;
    const where = formatAddress(this.#address);
    this.#cancelLease = this.#loop.after(this.#leaseMs, () => {
      if (!this.#isKept) this.#lost(`the connection to ${where} was lost`);
    });
    this.#dialer.begin();
  }

  goodbye(_: number, reason: string): void {
    this.#lost(reason);
  }

  failed(error: unknown): void {
    this.#lost(error instanceof Error ? error.message : String(error));
  }

  #name(resumes: boolean): SessionName {
    return { id: this.#id, resumes, epoch: 0, events: this.end.taken, role: "rexec" };
  }

  #connect(): [SocketTransport, ServerHello] {
    const address = this.#address;
    const fd = reach(address);
    if (fd < 0) throw new Error(explain(address, -fd));
    const transport = transportOn(fd, address);
    sayHello(transport, this.#name(false), this.#facts);
    expectFrame(transport, Kind.HELLO, Date.now() + ANSWER_MS);
    return [transport, readHello(transport)];
  }

  #reached(transport: SocketTransport, hello: ServerHello): void {
    this.#cancelLease?.();
    this.#cancelLease = undefined;
    if (!hello.resumed) this.#lost("the rexec-server does not know the program any more");
    else this.end.connect(transport, hello.oneways, hello.capabilities);
  }
}

/** Connects, when a server that is expected to come again has come; a descriptor or -errno. */
function reach(address: Address): number {
  const endMs = performance.now() + RESTART_MS;
  let fd = connectTo(address);
  while (isAbsent(-fd) && performance.now() < endMs && isExpected(address)) {
    // Of a path that is not there yet no event tells.
    Bun.sleepSync(RESTART_STEP_MS);
    fd = connectTo(address);
  }
  return fd;
}

function isAbsent(errno: number): boolean {
  return errno === E.ENOENT || errno === E.ECONNREFUSED;
}

function explain(address: Address, errno: number): string {
  const where = formatAddress(address);
  if (isAbsent(errno)) return `No rexec-server listens at ${where} (qtfs rexec-server)`;
  if (errno === E.EACCES) return `Only root may use the rexec-server at ${where}`;
  return `Cannot connect to ${where}: ${errnoText(errno)}`;
}

/** A session's id that nobody can guess. */
function newId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(SESSION_BYTES))).toString("hex");
}

/** Reaching a server for the first time: connection, handshake, and the directory to attach to. */
import { E, errnoText } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { connectTo } from "../transport/endpoint.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED, type Transport } from "../transport/transport.ts";
import { Kind } from "../wire/frame.ts";
import type { Facts, ServerHello } from "../wire/hello.ts";
import {
  expectKind,
  type Root,
  readAttached,
  readHello,
  sayAttach,
  sayHello,
  transportOn,
} from "./greeting.ts";

const SESSION_BYTES = 16;
/** Number of a mount's first session. */
export const FIRST_EPOCH = 1;

/** A connection that a session has begun on. */
export interface Attached {
  transport: SocketTransport;
  /** The session's id, a secret. */
  session: string;
  hello: ServerHello;
  root: Root;
}

/** There is no server, or one that ends: another one may come. */
export class Unreachable extends Error {}

/** A session's id that nobody can guess. */
function newSession(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(SESSION_BYTES))).toString("hex");
}

/** A connection to the server at `address`; throws a sentence, `Unreachable` where there is none. */
export function connect(address: Address): SocketTransport {
  const where = formatAddress(address);
  const fd = connectTo(address);
  if (fd === -E.ENOENT || fd === -E.ECONNREFUSED) {
    throw new Unreachable(
      `No server listens at ${where}: start one with "qtfs server --listen ${where}"`,
    );
  }
  if (fd < 0) throw new Unreachable(`Cannot connect to ${where}: ${errnoText(-fd)}`);
  try {
    return transportOn(fd, address);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** A connection to the first of `addresses` where there is one; throws why there is none at the first. */
export function connectFirst(addresses: readonly Address[]): SocketTransport {
  let reason: unknown;
  for (const address of addresses) {
    try {
      return connect(address);
    } catch (error) {
      reason ??= error;
    }
  }
  throw reason;
}

/** Waits for one frame of `kind`; a GOODBYE instead is thrown as its reason. */
export function expectFrame(transport: Transport, kind: number, deadlineMs: number): void {
  const polls = new PollSet(1);
  polls.add(transport.fd, POLLIN);
  while (!transport.next()) {
    const left = deadlineMs - Date.now();
    if (left <= 0) throw new Error(`The server at ${transport.peer.description} does not answer`);
    polls.wait(left);
    if (transport.receive() === CLOSED) {
      const why = transport.failure ?? "it may not allow this user";
      throw new Unreachable(
        `The server at ${transport.peer.description} closed the connection: ${why}`,
      );
    }
  }
  expectKind(transport, kind);
}

/** What is to be attached to, and as whom. */
export interface Subject {
  source: string;
  facts: Facts;
  /** Whether the HOST's mounts are to be trees of their own. */
  splits: boolean;
}

/**
 * Connects, greets and attaches to `source` at the first of `addresses` that
 * takes us, each within `timeoutMs`; throws a sentence for people. Slot 0 has
 * then been used once.
 */
export function attachTo(
  addresses: readonly Address[],
  subject: Subject,
  timeoutMs: number,
): Attached {
  const reasons: string[] = [];
  let isThere = false;
  for (const address of addresses) {
    try {
      return attachAt(address, subject, Date.now() + timeoutMs);
    } catch (error) {
      reasons.push((error as Error).message);
      isThere ||= !(error instanceof Unreachable);
    }
  }
  const all = reasons.join("; ");
  throw isThere ? new Error(all) : new Unreachable(all);
}

function attachAt(address: Address, subject: Subject, deadlineMs: number): Attached {
  const { source, facts, splits } = subject;
  const transport = connect(address);
  const session = newSession();
  try {
    sayHello(transport, { id: session, resumes: false, epoch: FIRST_EPOCH, events: 0 }, facts);
    expectFrame(transport, Kind.HELLO, deadlineMs);
    const hello = readHello(transport);
    sayAttach(transport, source, FIRST_EPOCH, splits);
    expectFrame(transport, Kind.REPLY, deadlineMs);
    return { transport, session, hello, root: readAttached(transport, source) };
  } catch (error) {
    transport.close();
    throw error;
  }
}

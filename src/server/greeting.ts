/** The handshake, server side: reading a stranger's HELLO and answering it. */

import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import type { Channel } from "../transport/channel.ts";
import type { PeerIdentity, Transport } from "../transport/transport.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { headerBytes, Kind, kindOf, payloadBytes } from "../wire/frame.ts";
import {
  CAPABILITIES,
  type ClientHello,
  commonVersion,
  encodeHello,
  type ServerHello,
} from "../wire/hello.ts";
import {
  HELLO_MAX,
  NAME_MAX,
  PREFIX_BYTES,
  SLOTS_MAX,
  VERSION_MAX,
  VERSION_MIN,
} from "../wire/limits.ts";
import type { ReactorServices } from "./services.ts";

const room = allocate(PREFIX_BYTES + HELLO_MAX);

/**
 * A connection whose client has not said HELLO yet. Not a byte beyond the HELLO
 * is read here: the connection may belong to another reactor.
 */
export class Greeter {
  readonly channel: Channel;
  readonly peer: PeerIdentity;
  readonly sinceNs = Bun.nanoseconds();
  /** Its place in the reactor's poll set. */
  index = -1;
  /** Whether the client is gone. */
  gone = false;
  readonly #frame = Buffer.alloc(PREFIX_BYTES + HELLO_MAX);
  #have = 0;
  #want = PREFIX_BYTES;

  constructor(channel: Channel, peer: PeerIdentity) {
    this.channel = channel;
    this.peer = peer;
  }

  /** The HELLO's header once it is here; undefined: not yet, or `gone`. */
  receive(): Uint8Array | undefined {
    while (this.#have < this.#want) {
      const got = this.channel.receive(room.address, this.#want - this.#have);
      if (got === -E.EAGAIN || got === -E.EINTR) return undefined;
      if (got <= 0) {
        this.gone = true;
        return undefined;
      }
      this.#frame.set(room.bytes.subarray(0, got), this.#have);
      this.#have += got;
      if (this.#have === PREFIX_BYTES) this.#want += this.#headerLength();
    }
    return this.#frame.subarray(PREFIX_BYTES, this.#want);
  }

  #headerLength(): number {
    const view = new DataView(this.#frame.buffer, this.#frame.byteOffset);
    const header = headerBytes(view, 0);
    if (kindOf(view, 0) !== Kind.HELLO) throw new ProtocolError("request before HELLO");
    if (header === 0 || header > HELLO_MAX) throw new ProtocolError("HELLO of a wrong length");
    if (payloadBytes(view, 0) !== 0) throw new ProtocolError("HELLO with a payload");
    return header;
  }
}

/** Throws unless there is a version that both sides speak. */
export function checkVersion(hello: ClientHello): void {
  if (commonVersion(hello.versions) !== 0) return;
  const [oldest, newest] = hello.versions;
  throw new Refusal(
    Goodbye.VERSION,
    `client speaks protocol ${oldest} to ${newest}, this server ${VERSION_MIN} to ` +
      `${VERSION_MAX}: install the same release of qtfs on both sides`,
  );
}

/** Answers `hello` with what the server grants and what became of the client's session. */
export function answerHello(
  transport: Transport,
  services: Pick<ReactorServices, "leaseMs" | "facts">,
  hello: ClientHello,
  session: Pick<ServerHello, "resumed" | "oneways" | "lives">,
): void {
  const answer = encodeHello({
    version: commonVersion(hello.versions),
    capabilities: CAPABILITIES.filter((name) => hello.capabilities.includes(name)),
    slots: SLOTS_MAX,
    leaseMs: services.leaseMs,
    ...session,
    facts: services.facts,
  });
  const w = transport.begin(Kind.HELLO);
  w.bytes.set(answer, w.at);
  w.at += answer.length;
  transport.end();
  transport.flush();
}

/** Says why, as far as the connection takes it, and closes it. */
export function sayGoodbye(transport: Transport, code: number, reason: string): void {
  if (!transport.closed && !transport.congested) {
    const w = transport.begin(Kind.GOODBYE);
    w.array(2);
    w.uint(code);
    w.latin1(reason.slice(0, NAME_MAX));
    transport.end();
    transport.flush();
  }
  transport.close();
}

/** A client that did nothing wrong, and cannot be served all the same. */
export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** What a mount says to a server before its first request, and what it hears. */

import { channelAs } from "../identity/client.ts";
import { E, errnoText } from "../sys/errno.ts";
import { ownText } from "../sys/socket.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { tune } from "../transport/endpoint.ts";
import { LaneChannel } from "../transport/pcie.ts";
import { SocketTransport } from "../transport/socket.ts";
import type { Transport } from "../transport/transport.ts";
import { type Attributes, emptyAttributes, readAttributes } from "../wire/attributes.ts";
import { EPOCH_MAX } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import {
  CAPABILITIES,
  commonVersion,
  decodeServerHello,
  encodeHello,
  type Facts,
  type Role,
  type ServerHello,
} from "../wire/hello.ts";
import { NAME_MAX, VERSION_MAX, VERSION_MIN } from "../wire/limits.ts";
import { Op } from "../wire/ops.ts";

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** Which session a connection is for. */
export interface SessionName {
  /** 32 hexadecimal digits that only this mount knows. */
  id: string;
  /** Whether the server should have it already. */
  resumes: boolean;
  /** The mount's number for it. */
  epoch: number;
  /** EVENT frames of it that came; STREAM frames where it has a parent. */
  events: number;
  /** The mount's session that it carries streams for; none where it is one itself. */
  parent?: string;
  /** What it is for, where that is not a mount's. */
  role?: Role;
}

/** What the server says of the directory attached to. */
export interface Root {
  readOnly: boolean;
  /** Whether mounts below it are trees of their own. */
  splits: boolean;
  attributes: Attributes;
}

/** A transport on a connected descriptor, with the options that pay. */
export function transportOn(fd: number, address: Address): SocketTransport {
  tune(fd, address.kind, SOCKET_BUFFER_BYTES);
  const peer = { description: formatAddress(address) };
  if (address.kind === "pcie") return new SocketTransport(fd, peer, new LaneChannel(fd));
  if (address.kind !== "tcp" || address.identity === undefined)
    return new SocketTransport(fd, peer);
  return new SocketTransport(fd, peer, channelAs(address.identity, fd));
}

export function sayHello(transport: Transport, session: SessionName, facts: Facts): void {
  const from = session.role === "rexec" ? ownText(transport.fd) : undefined;
  const bytes = encodeHello({
    versions: [VERSION_MIN, VERSION_MAX],
    role: session.role ?? (session.parent === undefined ? "mount" : "streams"),
    capabilities: [...CAPABILITIES],
    session: session.id,
    resumes: session.resumes,
    epoch: wireEpoch(session.epoch),
    events: session.events,
    ...(session.parent === undefined ? {} : { parent: session.parent }),
    ...(from === undefined ? {} : { from }),
    facts,
  });
  const w = transport.begin(Kind.HELLO);
  w.bytes.set(bytes, w.at);
  w.at += bytes.length;
  transport.end();
  transport.flush();
}

/** The wire's number of a mount's session: they begin anew after the last one. */
function wireEpoch(epoch: number): number {
  return epoch % (EPOCH_MAX + 1);
}

/** Checks that the frame at hand is of `kind`; a GOODBYE instead is thrown as its reason. */
export function expectKind(transport: Transport, kind: number): void {
  if (transport.kind === Kind.GOODBYE) {
    transport.reader.array();
    transport.reader.uint();
    throw new Error(`The server refused: ${transport.reader.latin1(NAME_MAX)}`);
  }
  if (transport.kind !== kind) throw new ProtocolError("server answers with another kind of frame");
}

/** Reads the server's HELLO, the frame at hand. */
export function readHello(transport: Transport): ServerHello {
  const { reader } = transport;
  const hello = decodeServerHello(reader.bytes.subarray(reader.at, reader.end));
  if (commonVersion([hello.version, hello.version]) === 0) {
    throw new Error(
      `The server chose protocol ${hello.version}, which this release does not speak`,
    );
  }
  return hello;
}

/**
 * Asks for the HOST's directory `source`: the first request of slot 0. `epoch`
 * tells the mount's sessions apart; `splits`: mounts below it are to be trees of their own.
 */
export function sayAttach(
  transport: Transport,
  source: string,
  epoch: number,
  splits: boolean,
): void {
  const path = Buffer.from(source);
  const w = transport.begin(Kind.REQUEST);
  w.array(6);
  w.uint(0);
  w.uint(1);
  w.uint(Op.ATTACH);
  w.blob(path, 0, path.length);
  w.uint(wireEpoch(epoch));
  w.uint(splits ? 1 : 0);
  transport.end();
  transport.flush();
}

/** Reads the answer to ATTACH, the frame at hand. */
export function readAttached(transport: Transport, source: string): Root {
  const { reader } = transport;
  reader.array();
  reader.uint();
  reader.uint();
  const errno = reader.uint();
  if (errno === E.EACCES) {
    throw new Error(
      `Cannot mount ${source}: the server does not export it (qtfs server --export ${source})`,
    );
  }
  if (errno !== 0) throw new Error(`Cannot mount ${source} of the server: ${errnoText(errno)}`);
  const readOnly = reader.uint() !== 0;
  const splits = reader.uint() !== 0;
  reader.uint64();
  const attributes = emptyAttributes();
  readAttributes(reader, attributes);
  reader.finish();
  return { readOnly, splits, attributes };
}

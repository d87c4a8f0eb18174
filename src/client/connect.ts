/** Reaching a server: connection, handshake, and the directory to attach to. */
import { E, errnoText } from "../sys/errno.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { connectTcp, connectUnix, setBuffers, tuneTcp } from "../sys/socket.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { SocketTransport } from "../transport/socket.ts";
import { CLOSED, type Transport } from "../transport/transport.ts";
import { type Attributes, emptyAttributes, readAttributes } from "../wire/attributes.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import {
  CAPABILITIES,
  commonVersion,
  decodeServerHello,
  encodeHello,
  type Facts,
  type ServerHello,
} from "../wire/hello.ts";
import { NAME_MAX, VERSION_MAX, VERSION_MIN } from "../wire/limits.ts";
import { Op } from "../wire/ops.ts";

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const SESSION_BYTES = 16;

/** A connection that a session can begin on. */
export interface Attached {
  transport: SocketTransport;
  hello: ServerHello;
  readOnly: boolean;
  root: Attributes;
}

function connect(address: Address): SocketTransport {
  const where = formatAddress(address);
  const fd =
    address.kind === "unix" ? connectUnix(address.path) : connectTcp(address.host, address.port);
  if (fd === -E.ENOENT || fd === -E.ECONNREFUSED) {
    throw new Error(
      `No server listens at ${where}: start one with "qtfs server --listen ${where}"`,
    );
  }
  if (fd < 0) throw new Error(`Cannot connect to ${where}: ${errnoText(-fd)}`);
  if (address.kind === "tcp") tuneTcp(fd);
  setBuffers(fd, SOCKET_BUFFER_BYTES);
  return new SocketTransport(fd, { description: where });
}

/** Waits for one frame of `kind`; a GOODBYE instead is thrown as its reason. */
function expectFrame(transport: Transport, kind: number, deadlineMs: number): void {
  const polls = new PollSet(1);
  polls.add(transport.fd, POLLIN);
  while (!transport.next()) {
    const left = deadlineMs - Date.now();
    if (left <= 0) throw new Error(`The server at ${transport.peer.description} does not answer`);
    polls.wait(left);
    if (transport.receive() === CLOSED) {
      throw new Error(
        `The server at ${transport.peer.description} closed the connection: it may not allow this user`,
      );
    }
  }
  if (transport.kind === Kind.GOODBYE) {
    transport.reader.array();
    transport.reader.uint();
    throw new Error(`The server refused: ${transport.reader.latin1(NAME_MAX)}`);
  }
  if (transport.kind !== kind) throw new ProtocolError("server answers with another kind of frame");
}

function greet(transport: Transport, facts: Facts, deadlineMs: number): ServerHello {
  const bytes = encodeHello({
    versions: [VERSION_MIN, VERSION_MAX],
    role: "mount",
    capabilities: [...CAPABILITIES],
    session: Buffer.from(crypto.getRandomValues(new Uint8Array(SESSION_BYTES))).toString("hex"),
    resumes: false,
    events: 0,
    facts,
  });
  const w = transport.begin(Kind.HELLO);
  w.bytes.set(bytes, w.at);
  w.at += bytes.length;
  transport.end();
  transport.flush();
  expectFrame(transport, Kind.HELLO, deadlineMs);
  const { reader } = transport;
  const hello = decodeServerHello(reader.bytes.subarray(reader.at, reader.end));
  if (commonVersion([hello.version, hello.version]) === 0) {
    throw new Error(
      `The server chose protocol ${hello.version}, which this release does not speak`,
    );
  }
  return hello;
}

function attach(transport: Transport, source: string, deadlineMs: number): [boolean, Attributes] {
  const path = Buffer.from(source);
  const w = transport.begin(Kind.REQUEST);
  w.array(4);
  w.uint(0);
  w.uint(1);
  w.uint(Op.ATTACH);
  w.blob(path, 0, path.length);
  transport.end();
  transport.flush();
  expectFrame(transport, Kind.REPLY, deadlineMs);
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
  reader.uint64();
  const root = emptyAttributes();
  readAttributes(reader, root);
  reader.finish();
  return [readOnly, root];
}

/**
 * Connects, greets and attaches to `source`, all within `timeoutMs`; throws a
 * sentence for people. Slot 0 has then been used once.
 */
export function attachTo(
  address: Address,
  source: string,
  facts: Facts,
  timeoutMs: number,
): Attached {
  const deadlineMs = Date.now() + timeoutMs;
  const transport = connect(address);
  try {
    const hello = greet(transport, facts, deadlineMs);
    const [readOnly, root] = attach(transport, source, deadlineMs);
    return { transport, hello, readOnly, root };
  } catch (error) {
    transport.close();
    throw error;
  }
}

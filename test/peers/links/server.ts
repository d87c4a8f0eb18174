/** The other end of `scripts/bench links`: answers each frame with as many bytes as it asks for. */

import { channelOf } from "../../../src/identity/peer.ts";
import { Spin } from "../../../src/session/spin.ts";
import { E } from "../../../src/sys/errno.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { POLLIN, POLLOUT, PollSet } from "../../../src/sys/poll.ts";
import { parseAddress } from "../../../src/transport/address.ts";
import { acceptFrom, listenAt, tune } from "../../../src/transport/endpoint.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { CLOSED } from "../../../src/transport/transport.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { PAYLOAD_MAX } from "../../../src/wire/limits.ts";

const BUFFER_BYTES = 4 * 1024 * 1024;
const bulk = allocate(PAYLOAD_MAX);
const spin = new Spin();
const polls = new PollSet(1);

function answer(transport: SocketTransport): void {
  while (!transport.congested && transport.next()) {
    const size = transport.reader.uint();
    transport.begin(Kind.REPLY).uint(size);
    if (size > 0) transport.endWith(bulk.address, size);
    else transport.end();
  }
}

function serve(transport: SocketTransport): void {
  while (true) {
    const got = transport.congested ? 0 : transport.receive();
    if (got === CLOSED) return;
    if (got > 0 || transport.hasMore) answer(transport);
    const before = transport.bytesSent;
    if (transport.pending) transport.flush();
    if (got > 0 || transport.bytesSent !== before) {
      spin.worked();
    } else if (!spin.again()) {
      polls.clear();
      polls.add(transport.fd, transport.pending ? POLLOUT : POLLIN);
      polls.wait(-1);
    }
  }
}

const address = parseAddress(process.argv[2] ?? "");
const listener = { kind: address.kind, fd: listenAt(address, 0o600, 8) };
if (listener.fd < 0) throw new Error(`Cannot listen: errno ${-listener.fd}`);
console.log("listening");
while (true) {
  polls.clear();
  polls.add(listener.fd, POLLIN);
  polls.wait(-1);
  const fd = acceptFrom(listener);
  if (fd === -E.EAGAIN) continue;
  tune(fd, address.kind, BUFFER_BYTES);
  const transport = new SocketTransport(fd, { description: "the bench" }, channelOf(fd, 0));
  serve(transport);
  transport.close();
  transport.release();
}

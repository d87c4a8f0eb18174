/** Frames over a lane, right ones and such as nobody should send. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { E } from "../../../src/sys/errno.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { close } from "../../../src/sys/open.ts";
import { POLLIN, POLLOUT, PollSet } from "../../../src/sys/poll.ts";
import { acceptLane, beginConnectLane, closeLane, listenLane } from "../../../src/sys/qtdma.ts";
import { connectOutcome } from "../../../src/sys/socket.ts";
import { LaneChannel } from "../../../src/transport/pcie.ts";
import { OVER_PCIE } from "../../../src/transport/peers.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { CLOSED } from "../../../src/transport/transport.ts";
import { ProtocolError } from "../../../src/wire/error.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { PAYLOAD_MAX } from "../../../src/wire/limits.ts";
import { random, seedFor } from "../../support/random.ts";

/** The whole: PCIE_FRAMES=1000000 bun test --timeout 600000 ./test/e2e/pcie/frames.test.ts */
const FRAMES = Number(process.env.PCIE_FRAMES ?? 20_000);
const WAIT_MS = 20_000;
const directory = mkdtempSync("/dev/shm/pcie-frames-");
const path = `${directory}/bar`;
const bulk = allocate(PAYLOAD_MAX);
const listener = listenLane(path, 0, 0o600);
const polls = new PollSet(1);
const dice = random(seedFor("pcie frames"));

afterAll(() => {
  closeLane(listener);
  rmSync(directory, { recursive: true });
});

/** Whether `fd` becomes ready for `events` in time. */
function becomesReady(fd: number, events: number): boolean {
  polls.clear();
  polls.add(fd, events);
  return polls.wait(WAIT_MS) > 0;
}

function overLane(fd: number): SocketTransport {
  return new SocketTransport(fd, OVER_PCIE, new LaneChannel(fd));
}

/** Both ends of a connection, which this thread has. */
function ends(): [SocketTransport, SocketTransport] {
  const client = beginConnectLane(path, 0);
  let server = acceptLane(listener);
  while (server === -E.EAGAIN && becomesReady(listener, POLLIN)) server = acceptLane(listener);
  expect(server).toBeGreaterThan(0);
  expect(becomesReady(client, POLLOUT)).toBe(true);
  expect(connectOutcome(client)).toBe(0);
  return [overLane(client), overLane(server)];
}

function end(...transports: SocketTransport[]): void {
  for (const transport of transports) {
    transport.close();
    transport.release();
  }
}

test("frames of all sizes, each whole and in its order", () => {
  const [client, server] = ends();
  let received = 0;
  const sizes: number[] = [];
  const take = () => {
    expect(server.receive(1 + dice.below(2 * PAYLOAD_MAX))).not.toBe(CLOSED);
    while (server.next()) {
      expect(server.reader.uint()).toBe(received);
      expect(server.payloadLength).toBe(sizes[received] as number);
      const last = server.payloadStart + server.payloadLength - 1;
      if (server.payloadLength > 0) expect(server.reader.bytes[last]).toBe(received & 0xff);
      received++;
    }
  };
  for (let i = 0; i < 300; i++) {
    const size = dice.chance(0.2) ? dice.below(PAYLOAD_MAX + 1) : dice.below(5000);
    sizes.push(size);
    while (client.congested || client.pending) {
      client.flush();
      take();
    }
    client.begin(Kind.ONEWAY).uint(i);
    bulk.bytes[Math.max(0, size - 1)] = i;
    client.endWith(bulk.address, size);
  }
  while (received < sizes.length) {
    client.flush();
    take();
  }
  expect(client.bytesSent).toBe(server.bytesReceived);
  expect(client.bytesUntaken).toBe(0);
  end(client, server);
});

test("what waits is told by the descriptor, also when the end comes", () => {
  const [client, server] = ends();
  const waits = new PollSet(1);
  waits.add(server.fd, POLLIN);
  expect(waits.wait(0)).toBe(0);
  client.begin(Kind.ONEWAY).uint(1);
  client.end();
  client.flush();
  expect(waits.wait(WAIT_MS)).toBe(1);
  expect(server.receive()).toBeGreaterThan(0);
  expect(waits.wait(0)).toBe(0);
  client.close();
  expect(waits.wait(WAIT_MS)).toBe(1);
  expect(server.receive()).toBe(CLOSED);
  end(client, server);
});

test(`${FRAMES} frames of nonsense: refused, or taken within the limits`, () => {
  const [client, server] = ends();
  let [sender, receiver] = [client, server];
  let refused = 0;
  let taken = 0;
  for (let i = 0; i < FRAMES; i++) {
    const length = 8 + dice.below(100);
    for (let at = 0; at < length; at += 4) bulk.view.setUint32(at, dice.next(), true);
    // Nearly right ones come further: a payload and a header of few bytes.
    if (dice.chance(0.7)) bulk.view.setUint32(0, dice.below(60), true);
    if (dice.chance(0.7)) bulk.view.setUint32(4, dice.below(30) | (dice.below(12) << 24), true);
    sender.channel.send(bulk.address, length);
    try {
      receiver.receive();
      while (receiver.next()) {
        taken++;
        expect(receiver.payloadLength).toBeLessThanOrEqual(PAYLOAD_MAX);
        receiver.reader.array();
        receiver.reader.uint();
        receiver.reader.finish();
      }
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
      refused++;
      if (dice.chance(0.3)) continue;
      end(sender, receiver);
      [sender, receiver] = ends();
    }
    if (!receiver.hasMore || dice.chance(0.9)) continue;
    end(sender, receiver);
    [sender, receiver] = ends();
  }
  expect(refused).toBeGreaterThan(FRAMES / 100);
  expect(taken).toBeGreaterThan(FRAMES / 100);
  end(sender, receiver);
});

test("a lane in use by nobody is closed like any descriptor", () => {
  const [client, server] = ends();
  expect(close(client.fd)).toBe(0);
  expect(becomesReady(server.fd, POLLIN)).toBe(true);
  expect(server.receive()).toBe(CLOSED);
  end(client, server);
});

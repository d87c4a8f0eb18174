/** What a client may not do on a connection for streams, and what a killed server costs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { encode } from "cbor-x/encode";
import { Loop } from "../../src/bridge/loop.ts";
import { BridgeLink } from "../../src/client/twins/bridgelink.ts";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { Goodbye } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { STREAMS_MAX } from "../../src/wire/limits.ts";
import { SocketType, StreamKind, StreamMessage } from "../../src/wire/streams.ts";
import { listening, turnUntil } from "../bridge/program.ts";
import { isGone } from "../e2e/mounts/caller.ts";
import { helloOf, RawClient } from "../support/client.ts";
import { random, seedFor } from "../support/random.ts";
import { TestServer, until } from "../support/server.ts";
import { Entry, Outcome } from "./bridgerig.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** A bare connection for streams of a mount's session. */
function streams(changes = {}): RawClient {
  const mount = server.client();
  const client = server.stranger();
  client.greet({ role: "streams", parent: mount.said.session, ...changes });
  return client;
}

describe("closes the connection", () => {
  test.each([
    ["a request", Kind.REQUEST, [0, 1, 37]],
    ["a one-way message", Kind.ONEWAY, [1]],
    ["an event", Kind.EVENT, [1]],
    ["another HELLO", Kind.HELLO, []],
    ["an ACK of what was not sent", Kind.ACK, [1]],
    ["an ACK without a number", Kind.ACK, []],
    ["data for no stream", Kind.STREAM, [1, StreamMessage.DATA]],
    ["a stream of the server's", Kind.STREAM, [2, StreamMessage.OPEN, 1]],
  ] as const)("%s", (_, kind, items) => {
    const client = streams();
    client.frame(kind, [...items]);
    expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  });

  test.each([
    ["no CBOR", Buffer.from([0xff])],
    ["nothing", Buffer.alloc(0)],
    ["a map", Buffer.from(encode({ key: 1 }))],
    ["a tag", Buffer.from([0xc0, 0x80])],
    ["a list that ends early", Buffer.from([0x85, 1])],
    ["a caller without groups", Buffer.from(encode([1, 1, 0, 0]))],
  ])("a description that is %s", (_, description) => {
    const client = streams();
    client.frame(Kind.STREAM, [1, StreamMessage.OPEN, StreamKind.CONNECT], description);
    expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  });

  test("a session that the server has already, or of no mount", () => {
    const mount = server.client();
    const hello = helloOf({ role: "streams", parent: mount.said.session });
    const first = server.stranger();
    first.greet(hello);
    const second = server.stranger();
    second.greet(hello);
    expect(second.ended()?.[0]).toBe(Goodbye.PROTOCOL);
    const third = server.stranger();
    third.greet({ ...hello, session: "a".repeat(32), parent: "b".repeat(32) });
    expect(third.ended()?.[0]).toBe(Goodbye.REFUSED);
    const fourth = server.stranger();
    fourth.greet({ ...hello, resumes: true, events: 5 });
    expect(fourth.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  });
});

test("streams of kinds that are not taken are refused, as many as there may be", () => {
  const client = streams();
  for (let i = 0; i < STREAMS_MAX; i++) {
    client.frame(Kind.STREAM, [2 * i + 1, StreamMessage.OPEN, 99], Buffer.from(encode([])));
    if (i % 500 === 0) client.turn(0);
  }
  client.pump(() => client.events.length >= STREAMS_MAX || client.closed);
  const resets = client.events.filter(([, message]) => message === StreamMessage.RESET);
  expect(resets.length).toBe(STREAMS_MAX);
  expect(new Set(resets.map(([, , errno]) => errno))).toEqual(new Set([E.EPROTONOSUPPORT]));
});

test("garbage ends its connection and nothing else", () => {
  const rng = random(seedFor("bridge garbage"));
  const good = streams();
  for (let round = 0; round < 60; round++) {
    const client = streams();
    for (let i = 0; i < 20 && !client.closed; i++) {
      const items = Array.from({ length: rng.below(5) }, () => rng.below(rng.pick([3, 8, 1e6])));
      const payload = rng.chance(0.5) ? rng.bytes(rng.below(200)) : undefined;
      client.frame(rng.pick([Kind.STREAM, Kind.STREAM, Kind.ACK, Kind.GOODBYE]), items, payload);
    }
    client.turn(0);
    server.hangUp(client);
  }
  expect(server.alive).toBe(true);
  good.frame(Kind.STREAM, [1, StreamMessage.OPEN, 99], Buffer.from(encode([])));
  good.pump(() => good.events.length > 0 || good.closed);
  expect(good.events[0]?.slice(0, 2)).toEqual([1, StreamMessage.RESET]);
});

/** How long streams outlive a server. */
const LEASE_MS = 4000;

describe("a server that is killed and knows no session any more", () => {
  type Child = ChildProcessByStdio<Writable, Readable, null>;
  const scratch = mkdtempSync(join(tmpdir(), "qtfs-killed-"));
  const share = join(scratch, "share");
  const address = join(scratch, "socket");
  let child: Child;

  /** The process that has its streams. */
  async function bridgePid(): Promise<number> {
    child.stdin.write("snapshot\n");
    const said = await new Promise((resolve) => child.stdout.once("data", resolve));
    return JSON.parse(String(said)).bridgePid;
  }

  /** Another process of the server at the same place. */
  async function begin(): Promise<void> {
    const script = new URL("../support/serve.ts", import.meta.url).pathname;
    const exports = [{ path: share, readOnly: false }];
    const options = { listen: [`unix://${address}`], exports, leaseMs: LEASE_MS };
    child = spawn(process.execPath, [script, JSON.stringify(options)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
  }

  async function kill(): Promise<void> {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  beforeAll(async () => {
    mkdirSync(share);
    await begin();
  });
  afterAll(async () => {
    await kill();
    rmSync(scratch, { recursive: true });
  });

  test("costs all streams, and another session begins with the next one", async () => {
    const loop = new Loop();
    const listener = listening(share, "service");
    let mount = RawClient.attached(address, share);
    const { session } = mount.said;
    const link = new BridgeLink(loop, {
      addresses: [parseAddress(`unix://${address}`)],
      parent: session,
      facts: helloOf().facts,
      log: () => {},
    });
    let lost = 0;
    link.onLost(() => lost++);
    const open = (outcome: Outcome) => {
      const [node] = mount.ok("LOOKUP", mount.root, "service");
      const [key] = mount.ok("TWIN_OPEN", node as number);
      link.end.open(StreamKind.CONNECT, [key, SocketType.STREAM, 0, 0, [], 1], outcome);
    };
    const before = new Outcome();
    open(before);
    turnUntil(loop, () => link.end.connected, "the link is connected");
    await kill();
    for (let i = 0; i < 20; i++) loop.turn(10);
    // Its bridge has them still.
    expect([lost, before.errno, link.end.connected]).toEqual([0, undefined, true]);
    await begin();
    mount.close();
    mount = new RawClient(address);
    mount.greet({ session });
    mount.root = mount.ok("ATTACH", share, 0, 0)[2] as number;
    turnUntil(loop, () => lost > 0, "the session is lost");
    expect(before.errno).toBe(E.ECONNRESET);
    const after = new Outcome();
    open(after);
    turnUntil(loop, () => link.end.connected, "the link is connected");
    for (let i = 0; i < 20; i++) loop.turn(10);
    expect([lost, after.errno, link.end.streams]).toEqual([1, undefined, 1]);
    expect(mount.ok("LOOKUP", mount.root, "service")[Entry.RDEV]).toBe(SocketType.STREAM);
    link.close();
    mount.close();
    close(listener);
    loop.close();
  });

  test("leaves streams for the lease, and the bridge ends with them", async () => {
    const loop = new Loop();
    const listener = listening(share, "alone");
    const mount = RawClient.attached(address, share);
    const link = new BridgeLink(loop, {
      addresses: [parseAddress(`unix://${address}`)],
      parent: mount.said.session,
      facts: helloOf().facts,
      log: () => {},
    });
    const [node] = mount.ok("LOOKUP", mount.root, "alone");
    const [key] = mount.ok("TWIN_OPEN", node as number);
    link.end.open(StreamKind.CONNECT, [key, SocketType.STREAM, 0, 0, [], 1], new Outcome());
    turnUntil(loop, () => link.end.connected, "the link is connected");
    let pid = 0;
    await until(async () => {
      pid = await bridgePid();
      return pid !== 0;
    }, "the bridge is known");
    await kill();
    const isThere = () => !isGone(pid);
    expect([isThere(), link.end.connected]).toEqual([true, true]);
    turnUntil(loop, () => !link.end.connected, "the lease is over");
    await until(() => !isThere(), "the bridge has ended");
    link.close();
    mount.close();
    close(listener);
    loop.close();
    await begin();
  });
});

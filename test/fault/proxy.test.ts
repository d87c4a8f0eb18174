/** The fault proxy between a client and a server that are nothing but frames. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { formatAddress } from "../../src/transport/address.ts";
import { Kind, putPrefix } from "../../src/wire/frame.ts";
import { PREFIX_BYTES } from "../../src/wire/limits.ts";
import { until } from "../support/server.ts";
import type { ProxyFault, Report } from "./proxy/faults.ts";
import { FrameScanner } from "./proxy/frames.ts";
import { ProxyProcess } from "./proxy/process.ts";
import { freeTcpAddress } from "./proxy/socket.ts";

const directory = mkdtempSync(`${tmpdir()}/proxy-`);
afterAll(() => rmSync(directory, { recursive: true }));

function frame(kind: number, header: number, payload: number): Buffer {
  const bytes = Buffer.alloc(PREFIX_BYTES + header + payload, kind);
  putPrefix(new DataView(bytes.buffer, bytes.byteOffset), 0, kind, header, payload);
  return bytes;
}

/** One end of a connection: what it heard, and how it ended. */
class End {
  heard = Buffer.alloc(0);
  ended = "";
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.heard = Buffer.concat([this.heard, bytes]);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.ended ||= error.code ?? "error";
    });
    socket.on("close", () => {
      this.ended ||= "end";
    });
  }

  /** Waits until it has heard `length` bytes. */
  async hears(length: number): Promise<Buffer> {
    await until(() => this.heard.length >= length, `${length} bytes are heard`);
    return this.heard;
  }

  async end(): Promise<string> {
    await until(() => this.ended !== "", "the connection ends");
    return this.ended;
  }
}

class Scene {
  readonly reports: Report[] = [];
  readonly servers: End[] = [];
  readonly #listener: Server;
  proxy!: ProxyProcess;
  #address = "";

  constructor() {
    this.#listener = createServer((socket) => this.servers.push(new End(socket)));
  }

  async open(kind: "unix" | "tcp"): Promise<void> {
    const place = `${directory}/${scenes.length}`;
    const [listen, to] =
      kind === "unix"
        ? ([`unix://${place}.proxy`, `unix://${place}.server`] as const)
        : [formatAddress(freeTcpAddress()), formatAddress(freeTcpAddress())];
    this.#address = listen;
    const listening = Promise.withResolvers<void>();
    const where = to.startsWith("unix") ? { path: to.slice(7) } : portOf(to);
    this.#listener.listen(where, listening.resolve);
    await listening.promise;
    const onReport = (report: Report) => this.reports.push(report);
    this.proxy = await ProxyProcess.start({ listen, to, seed: 7, onReport });
  }

  /** A client, not necessarily let in. */
  client(): End {
    const where = this.#address.startsWith("unix")
      ? { path: this.#address.slice(7) }
      : portOf(this.#address);
    return new End(connect(where));
  }

  /** A client and the server's end of its connection. */
  async pair(): Promise<[End, End]> {
    const count = this.servers.length;
    const client = this.client();
    await until(() => this.servers.length > count, "the server is reached");
    return [client, this.servers[count] as End];
  }

  async close(): Promise<void> {
    for (const { socket } of this.servers) socket.destroy();
    this.#listener.close();
    await this.proxy.stop();
  }
}

function portOf(address: string): { host: string; port: number } {
  return { host: "127.0.0.1", port: Number(address.split(":").at(-1)) };
}

const scenes: Scene[] = [];

async function scene(kind: "unix" | "tcp"): Promise<Scene> {
  const one = new Scene();
  scenes.push(one);
  await one.open(kind);
  return one;
}

afterEach(async () => {
  for (const one of scenes.splice(0)) await one.close();
});

const REQUEST = frame(Kind.REQUEST, 40, 3000);
const REPLY = frame(Kind.REPLY, 20, 100_000);
const CUT = { fault: "cut", how: "reset", downMs: 0, down: "refuse" } as const;

test("a scanner finds frames however they are cut", () => {
  const stream = Buffer.concat([REQUEST, frame(Kind.CANCEL, 3, 0), REPLY, frame(5, 0, 0)]);
  for (const size of [1, 3, 7, 8, 9, 1000, stream.length]) {
    const scanner = new FrameScanner();
    for (let at = 0; at < stream.length; at += size) {
      for (const start of scanner.scan(stream.subarray(at, at + size))) {
        expect([0, 3048, 3059, 103_087]).toContain(at + start.at);
      }
    }
    expect([2, 3, 5].map((kind) => scanner.counts[kind])).toEqual([1, 1, 2]);
    expect(scanner.atBoundary).toBe(true);
  }
});

test.each(["unix", "tcp"] as const)(
  "%s: all bytes pass, both ways, in their order",
  async (kind) => {
    const { pair } = await bound(kind);
    const [client, server] = await pair();
    const sent = Buffer.concat(Array.from({ length: 40 }, () => REPLY));
    client.socket.write(sent);
    server.socket.write(sent);
    expect((await server.hears(sent.length)).equals(sent)).toBe(true);
    expect((await client.hears(sent.length)).equals(sent)).toBe(true);
    client.socket.end();
    expect(await server.end()).toBe("end");
  },
);

async function bound(kind: "unix" | "tcp") {
  const one = await scene(kind);
  return { one, proxy: one.proxy, pair: () => one.pair(), client: () => one.client() };
}

test("tcp: a cut resets both ends, and counts what was under way", async () => {
  const { proxy, pair } = await bound("tcp");
  const [client, server] = await pair();
  client.socket.write(Buffer.concat([REQUEST, REQUEST]));
  await server.hears(2 * REQUEST.length);
  server.socket.write(REPLY);
  await client.hears(REPLY.length);
  const report = await proxy.do(CUT).begun;
  expect(report.outstanding).toBe(1);
  expect(await client.end()).toBe("ECONNRESET");
  expect(await server.end()).toBe("ECONNRESET");
});

test.each(["refuse", "drop", "silence"] as const)("a link that is down: %s", async (down) => {
  const { one, proxy, pair, client } = await bound("unix");
  await pair();
  const { begun, over } = proxy.do({ ...CUT, downMs: 300, down });
  const { atMs } = await begun;
  const early = client();
  if (down === "refuse") expect(await early.end()).toBe("ECONNREFUSED");
  if (down === "drop") expect(await early.end()).not.toBe("ECONNREFUSED");
  if (down === "silence") {
    early.socket.write(REQUEST);
    await Bun.sleep(100);
    expect(early.ended).toBe("");
  }
  expect((await over).atMs - atMs).toBeGreaterThanOrEqual(290);
  await early.end();
  expect(one.servers.length).toBe(1);
  await pair();
});

test.each(["server", "client"] as const)(
  "part of a frame reaches the %s, then the end",
  async (toward) => {
    const { proxy, pair } = await bound("tcp");
    const [client, server] = await pair();
    const { begun } = proxy.do({ ...CUT, how: "end", fault: "truncate", toward });
    await Bun.sleep(50);
    const [from, to] = toward === "server" ? [client, server] : [server, client];
    from.socket.write(REQUEST);
    await begun;
    await to.end();
    expect(to.heard.length).toBeGreaterThan(0);
    expect(to.heard.length).toBeLessThan(REQUEST.length);
    expect(to.heard.equals(REQUEST.subarray(0, to.heard.length))).toBe(true);
  },
);

test.each([
  ["kind", [7]],
  ["header", [4, 5, 6]],
  ["payload", [0, 1, 2, 3]],
] as const)("spoils a prefix: %s", async (what, at) => {
  const { proxy, pair } = await bound("unix");
  const [client, server] = await pair();
  const { begun } = proxy.do({ fault: "corrupt", toward: "server", what });
  await Bun.sleep(50);
  client.socket.write(REQUEST);
  await begun;
  const heard = Buffer.from(await server.hears(REQUEST.length));
  const scanned = new DataView(heard.buffer, heard.byteOffset);
  const [kind, header, payload] = [
    heard[7],
    scanned.getUint32(4, true) & 0xff_ffff,
    scanned.getUint32(0, true),
  ];
  const impossible = (kind ?? 0) > 7 || header > 64 * 1024 || payload > 1024 * 1024;
  expect(impossible).toBe(true);
  for (const offset of at) heard[offset] = REQUEST[offset] as number;
  expect(heard.equals(REQUEST)).toBe(true);
});

test.each(["go on", "cut"] as const)("nothing moves for a time, then: %s", async (after) => {
  const { proxy, pair } = await bound("unix");
  const [client, server] = await pair();
  const { begun, over } = proxy.do({ fault: "stall", toward: "server", forMs: 300, after });
  await begun;
  client.socket.write(REQUEST);
  server.socket.write(REPLY);
  await client.hears(REPLY.length);
  await Bun.sleep(100);
  expect([client.ended, server.ended, server.heard.length]).toEqual(["", "", 0]);
  await over;
  if (after === "go on") expect((await server.hears(REQUEST.length)).equals(REQUEST)).toBe(true);
  else await Promise.all([client.end(), server.end()]);
});

test("a second connection says what the first said first", async () => {
  const { one, proxy, pair } = await bound("unix");
  const [client, server] = await pair();
  const hello = frame(Kind.HELLO, 200, 0);
  client.socket.write(hello);
  client.socket.write(REQUEST);
  await server.hears(hello.length + REQUEST.length);
  const { over } = proxy.do({ fault: "duplicate", forMs: 200 });
  await until(() => one.servers.length === 2, "there is a second connection");
  expect(await (one.servers[1] as End).hears(1)).toEqual(hello);
  await over;
  await (one.servers[1] as End).end();
  expect([client.ended, server.ended]).toEqual(["", ""]);
});

test.each([
  { fault: "delay", delayMs: 200, forMs: 400 },
  { fault: "trickle", bytesPerMs: 10, forMs: 400 },
] as ProxyFault[])("$fault slows down, and loses nothing", async (fault) => {
  const { proxy, pair } = await bound("unix");
  const [client, server] = await pair();
  await proxy.do(fault).begun;
  const startMs = performance.now();
  client.socket.write(REQUEST);
  expect((await server.hears(REQUEST.length)).equals(REQUEST)).toBe(true);
  expect(performance.now() - startMs).toBeGreaterThan(150);
});

test("a server that is gone ends the client's connection", async () => {
  const { one, client, pair } = await bound("unix");
  const [first] = await pair();
  await one.close();
  await first.end();
  await client().end();
  scenes.pop();
});

import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Control, serveControl } from "../../src/info/control.ts";
import { encodeFrame, FrameReader, REQUEST_MAX, type Request } from "../../src/info/frames.ts";
import { createLog, type Log } from "../../src/info/log.ts";
import { ask, reports } from "../../src/info/query.ts";
import { Kind } from "../../src/wire/frame.ts";

const directory = mkdtempSync(join(tmpdir(), "qtfs-control-"));
afterAll(() => rmSync(directory, { recursive: true }));

let log: Log;
let control: Control;
let extra: object;

beforeEach(() => {
  log = createLog("info", () => {});
  extra = { exports: [] };
  control = serveControl({ kind: "server", log, snapshot: () => extra }, directory);
});
afterEach(() => control.close());

/** Sends bytes as they are; returns what comes back until the end of the connection. */
async function sendRaw(bytes: Uint8Array): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const received: Buffer[] = [];
  const socket = await Bun.connect({
    unix: control.path,
    socket: {
      data: (_, answer) => void received.push(Buffer.from(answer)),
      close: () => resolve(),
    },
  });
  socket.write(bytes);
  await promise;
  return Buffer.concat(received);
}

test("only root gets at the socket", () => {
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(control.path).mode & 0o777).toBe(0o600);
});

test("a snapshot has the process and what the daemon adds", async () => {
  const report = await ask(control.path, { want: "snapshot" });
  expect(report).toMatchObject({ kind: "server", pid: process.pid, exports: [], logLevel: "info" });
  expect(report.residentBytes).toBeGreaterThan(1_000_000);
  expect(Date.parse(report.startedAt as string)).toBeLessThanOrEqual(Date.now());
});

test("an answer of nearly a mebibyte arrives whole", async () => {
  extra = { text: "x".repeat(1_000_000) };
  const { text } = await ask(control.path, { want: "snapshot" });
  expect((text as string).length).toBe(1_000_000);
});

test("an answer that is too long closes the connection", async () => {
  extra = { text: "x".repeat(1_100_000) };
  await expect(ask(control.path, { want: "snapshot" })).rejects.toThrow("closed the connection");
});

test("the log level is told and set", async () => {
  expect(await ask(control.path, { want: "logLevel" })).toEqual({ level: "info" });
  expect(await ask(control.path, { want: "logLevel", level: "debug" })).toEqual({ level: "debug" });
  expect(log.level).toBe("debug");
});

test("the log's lines are told", async () => {
  log.write("info", "something");
  const { lines } = await ask(control.path, { want: "log" });
  expect((lines as string[]).join()).toEndWith("info  something");
});

const request = encodeFrame(Kind.REQUEST, { want: "logLevel" });
const frame = (value: object) => encodeFrame(Kind.REQUEST, value);
const withByte = (at: number, value: number) => {
  const bytes = Buffer.from(request);
  bytes[at] = value;
  return bytes;
};

test.each([
  ["an unknown request", frame({ want: "money" })],
  ["an unknown level", frame({ want: "logLevel", level: "loud" })],
  ["no map", frame(["snapshot"])],
  ["a kind of frame that does not exist", withByte(7, 99)],
  ["a reply", withByte(7, Kind.REPLY)],
  ["a payload", withByte(0, 1)],
  ["a header that is too long", withByte(5, (REQUEST_MAX >> 8) + 1)],
  ["a length over all limits", Buffer.alloc(64, 0xff)],
  ["a header that is no CBOR", withByte(8, 0xff)],
])("%s closes the connection without an answer", async (_, bytes) => {
  expect((await sendRaw(bytes)).length).toBe(0);
  expect(await ask(control.path, { want: "logLevel" })).toEqual({ level: "info" });
});

test("requests in pieces and in one are answered in their order", async () => {
  const two = Buffer.concat([request, frame({ want: "log" })]);
  const reader = new FrameReader(Kind.REPLY);
  const answers: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: control.path,
    socket: {
      data: (_, bytes) => {
        answers.push(...reader.add(bytes));
        if (answers.length === 2) resolve();
      },
    },
  });
  for (const [start, end] of [
    [0, 3],
    [3, 12],
    [12, two.length],
  ] as const) {
    socket.write(two.subarray(start, end));
    await Bun.sleep(5);
  }
  await promise;
  socket.terminate();
  expect(answers).toEqual([{ level: "info" }, { lines: [] }]);
});

test.each(["mount", "twins"])(
  "sockets of dead daemons are removed, others stay: %s",
  async (kind) => {
    const dead = join(directory, `${kind}-4194303.sock`);
    const child = Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.listen({ unix: ${JSON.stringify(dead)}, socket: { data() {} } }); process.kill(process.pid, 9);`,
    ]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(existsSync(dead)).toBe(true);
    expect(await reports(directory)).toHaveLength(1);
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(control.path)).toBe(true);
  },
);

test("a daemon that accepts and is silent is reported as such", async () => {
  const path = join(directory, "mount-77.sock");
  const silent = Bun.listen({ unix: path, socket: { data() {} } });
  const found = await reports(directory);
  silent.stop(true);
  expect(found).toHaveLength(2);
  expect(found[1]).toEqual({ kind: "mount", pid: 77, error: "it has not answered for 2 s" });
});

test("a socket that lies about who it is is no report", async () => {
  const path = join(directory, "mount-78.sock");
  const liar = Bun.listen({
    unix: path,
    socket: {
      data: (socket) => {
        const answer = encodeFrame(Kind.REPLY, { kind: "mount", pid: 1 });
        socket.write(answer);
      },
    },
  });
  const found = await reports(directory);
  liar.stop(true);
  expect(found[1]).toMatchObject({ pid: 78, error: "its answer is no report" });
});

test("where no daemon ever ran there is nothing", async () => {
  expect(await reports(join(directory, "none"))).toEqual([]);
});

test("closing removes the socket", () => {
  control.close();
  expect(existsSync(control.path)).toBe(false);
});

test("a request is a frame whose header is small", () => {
  const long: Request = { want: "logLevel", level: "x".repeat(9000) };
  expect(() => new FrameReader(Kind.REQUEST).add(frame(long))).toThrow("frame of another shape");
});

/** OPEN, CREATE, TMPFILE, RELEASE and what is done with the data of open files. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../src/sys/io.ts";
import { Goodbye, OpenFlag, OpenResult } from "../../src/wire/constants.ts";
import { PAYLOAD_MAX } from "../../src/wire/limits.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { settle, TestServer, until } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const ENTRY = 17;

let server: TestServer;
let client: RawClient;
let counter = 0;
let dir = "";
let at = 0;

const path = (name: string) => `${dir}/${name}`;
const look = (name: string) => entryOf(client.ok("LOOKUP", at, name)).node;
const open = (node: number, flags: number) => client.ok("OPEN", node, flags, 0)[0] as number;
const read = (handle: number, offset: number, size: number) =>
  client.call("READ", [handle, offset, size]);
const write = (handle: number, offset: number, data: string, flags = 0, gid = 0) =>
  client.call("WRITE", [handle, offset, flags, gid], Buffer.from(data));
const release = (handle: number) => client.oneway(Oneway.RELEASE, handle);

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(() => {
  const name = `d${counter++}`;
  dir = server.path(name);
  mkdirSync(dir);
  client = server.client();
  at = entryOf(client.ok("LOOKUP", client.root, name)).node;
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("OPEN brings a small file along when it is wanted", () => {
  writeFileSync(path("f"), "small");
  writeFileSync(path("large"), Buffer.alloc(16 * 1024 + 1));
  writeFileSync(path("limit"), Buffer.alloc(16 * 1024, 7));
  writeFileSync(path("empty"), "");
  settle(client, at, dir);
  const node = look("f");
  const opened = client.call("OPEN", [node, OpenFlag.READ, 1]);
  expect(opened.errno).toBe(0);
  expect((opened.results[1] as number) & OpenResult.KEEP_CACHE).toBe(0);
  expect(String(opened.payload)).toBe("small");
  expect(client.call("OPEN", [node, OpenFlag.READ, 0]).payload.length).toBe(0);
  expect(client.call("OPEN", [look("large"), OpenFlag.READ, 1]).payload.length).toBe(0);
  expect(client.call("OPEN", [look("limit"), OpenFlag.READ, 1]).payload.length).toBe(16 * 1024);
  expect(client.call("OPEN", [look("empty"), OpenFlag.READ, 1]).payload.length).toBe(0);
});

test("OPEN tells what may be kept: unchanged data may, changed data may not", () => {
  writeFileSync(path("f"), "one");
  settle(client, at, dir);
  const node = look("f");
  const keep = () => {
    const [handle, result] = client.ok("OPEN", node, OpenFlag.READ, 0);
    release(handle as number);
    return (result as number) & OpenResult.KEEP_CACHE;
  };
  expect(keep()).toBe(0);
  expect(keep()).toBe(OpenResult.KEEP_CACHE);
  const { mtime } = statSync(path("f"));
  writeFileSync(path("f"), "two");
  // News of the change that came after the next OPEN would cost one more.
  settle(client, at, dir);
  expect(keep()).toBe(0);
  expect(keep()).toBe(OpenResult.KEEP_CACHE);
  writeFileSync(path("f"), "six");
  utimesSync(path("f"), mtime, mtime);
  expect(keep()).toBe(0);
});

test("what the client wrote itself it may keep", () => {
  writeFileSync(path("f"), "one");
  settle(client, at, dir);
  const node = look("f");
  const handle = open(node, RDWR);
  write(handle, 0, "TWO");
  release(handle);
  const result = client.ok("OPEN", node, OpenFlag.READ, 1)[1] as number;
  expect(result & OpenResult.KEEP_CACHE).toBe(OpenResult.KEEP_CACHE);
});

test("OPEN is for regular files", () => {
  Bun.spawnSync(["mkfifo", path("p")]);
  mkdirSync(path("d"));
  expect(client.errno("OPEN", look("d"), OpenFlag.READ, 0)).toBe(E.ESTALE);
  expect(client.errno("OPEN", look("p"), OpenFlag.READ, 0)).toBe(E.ESTALE);
  // Not ENXIO, which only opening it could tell.
  expect(client.errno("OPEN", look("p"), OpenFlag.WRITE, 0)).toBe(E.ESTALE);
  expect(client.errno("OPEN", at, OpenFlag.WRITE, 0)).toBe(E.EISDIR);
  expect(client.errno("OPEN", 99_999, OpenFlag.READ, 0)).toBe(E.ESTALE);
});

test("unknown open flags end the connection", () => {
  writeFileSync(path("f"), "");
  client.send(0, "OPEN", [look("f"), 0x800, 0]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("CREATE makes and opens at once, with the caller's ids", () => {
  const args = [at, "f", RDWR, 0o666, 0o022, 1000, 1001, -1] as const;
  const results = client.ok("CREATE", ...args);
  expect(entryOf(results)).toMatchObject({ mode: 0o100644, uid: 1000, gid: 1001, size: 0 });
  const handle = results[ENTRY] as number;
  expect(write(handle, 0, "data").results).toEqual([4]);
  expect(String(read(handle, 0, 10).payload)).toBe("data");
  expect(readFileSync(path("f"), "utf8")).toBe("data");
  expect(lstatSync(path("f"))).toMatchObject({ mode: 0o100644, uid: 1000, gid: 1001 });
  expect(client.errno("CREATE", ...args)).toBe(E.ESTALE);
  const exclusive = RDWR | OpenFlag.EXCLUSIVE;
  expect(client.errno("CREATE", at, "f", exclusive, 0o666, 0, 0, 0, -1)).toBe(E.EEXIST);
});

test("CREATE gives a handle even for a mode that allows nothing", () => {
  const results = client.ok("CREATE", at, "f", RDWR, 0, 0, 1000, 1000, -1);
  expect(write(results[ENTRY] as number, 0, "x").errno).toBe(0);
});

test("TMPFILE has no name until LINK gives it one", () => {
  const results = client.ok("TMPFILE", at, RDWR, 0o600, 0o022, 1000, 1000, -1);
  const { node, nlink, uid } = entryOf(results);
  expect([nlink, uid]).toEqual([0, 1000]);
  const handle = results[ENTRY] as number;
  write(handle, 0, "hidden");
  expect(readdirSync(dir)).toEqual([]);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
  client.ok("LINK", node, at, "f");
  expect(readFileSync(path("f"), "utf8")).toBe("hidden");
  const exclusive = client.ok("TMPFILE", at, RDWR | OpenFlag.EXCLUSIVE, 0o600, 0, 0, 0, -1);
  expect(client.errno("LINK", entryOf(exclusive).node, at, "g")).toBe(E.ENOENT);
  expect(client.errno("TMPFILE", at, OpenFlag.READ, 0o600, 0, 0, 0, -1)).toBe(E.EINVAL);
  expect(client.errno("TMPFILE", node, RDWR, 0o600, 0, 0, 0, -1)).toBe(E.ENOTDIR);
});

test("READ gives what is there, and nothing beyond the end", () => {
  writeFileSync(path("f"), "0123456789");
  const handle = open(look("f"), OpenFlag.READ);
  expect(String(read(handle, 2, 3).payload)).toBe("234");
  expect(String(read(handle, 8, 100).payload)).toBe("89");
  expect(read(handle, 10, 100).payload.length).toBe(0);
  expect(read(handle, Number.MAX_SAFE_INTEGER, 1).errno).toBe(0);
  expect(read(handle, 0, 0).payload.length).toBe(0);
  expect(read(handle + 1, 0, 1).errno).toBe(E.EBADF);
  expect(read(0, 0, 1).errno).toBe(E.EBADF);
  release(handle);
  expect(read(handle, 0, 1).errno).toBe(E.EBADF);
});

test("READ on a handle for writing is refused, whatever its size", () => {
  writeFileSync(path("f"), Buffer.alloc(PAYLOAD_MAX));
  const handle = open(look("f"), OpenFlag.WRITE);
  expect(read(handle, 0, 100).errno).toBe(E.EBADF);
  expect(read(handle, 0, PAYLOAD_MAX).errno).toBe(E.EBADF);
});

test("a READ of more than a frame ends the connection", () => {
  writeFileSync(path("f"), "");
  client.send(0, "READ", [open(look("f"), OpenFlag.READ), 0, PAYLOAD_MAX + 1]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("large READs leave by sendfile, byte for byte, at any offset", () => {
  const data = crypto.getRandomValues(new Uint8Array(65536));
  const whole = Buffer.concat(
    Array.from({ length: 40 }, (_, i) => Buffer.from(data).fill(i, 0, 9)),
  );
  writeFileSync(path("f"), whole);
  const handle = open(look("f"), OpenFlag.READ);
  for (const [offset, size] of [
    [0, PAYLOAD_MAX],
    [1, PAYLOAD_MAX],
    [4097, 300_000],
    [whole.length - 200_000, PAYLOAD_MAX],
    [whole.length - 100, PAYLOAD_MAX],
  ] as const) {
    const expected = whole.subarray(offset, offset + size);
    expect(read(handle, offset, size).payload.equals(expected)).toBe(true);
  }
});

test("many large READs in flight come back whole and in any slot", () => {
  const whole = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)).buffer);
  writeFileSync(path("f"), Buffer.concat(new Array(32).fill(whole)));
  const handle = open(look("f"), OpenFlag.READ);
  for (let slot = 0; slot < 24; slot++) {
    client.send(slot, slot % 3 === 0 ? "GETATTR" : "READ", [
      ...(slot % 3 === 0 ? [look_.node, 0] : [handle, slot * 4096, 512 * 1024]),
    ]);
  }
  for (let slot = 23; slot >= 0; slot--) {
    const reply = client.reply(slot);
    expect(reply.errno).toBe(0);
    if (slot % 3 === 0) continue;
    expect(reply.payload.length).toBe(512 * 1024);
    const start = (slot * 4096) % 65536;
    expect(reply.payload.subarray(0, 1000).equals(whole.subarray(start, start + 1000))).toBe(true);
  }
});
const look_ = { node: 1 };

test("a file that shrinks while it is sent is filled up with zeros", async () => {
  const size = PAYLOAD_MAX;
  writeFileSync(path("f"), Buffer.alloc(8 * size, 1));
  const handle = open(look("f"), OpenFlag.READ);
  // More than the socket holds, so that sendfile is still at it when the file is cut.
  for (let slot = 0; slot < 8; slot++) client.send(slot, "READ", [handle, slot * size, size]);
  await until(() => client.transport.receive(1) !== 0, "the server answers");
  truncateSync(path("f"), 100);
  const replies = Array.from({ length: 8 }, (_, slot) => client.reply(slot));
  for (const { errno, payload } of replies) {
    expect(errno).toBe(0);
    const end = payload.findIndex((byte) => byte !== 1);
    const rest = end < 0 ? Buffer.alloc(0) : payload.subarray(end);
    expect(rest.every((byte) => byte === 0)).toBe(true);
  }
  const last = replies[7];
  expect(last?.payload.length === 0 || last?.payload.at(-1) === 0).toBe(true);
  expect(read(handle, 0, size).payload.length).toBe(100);
});

test("WRITE at an offset, beyond the end, and refused ones", () => {
  writeFileSync(path("f"), "0123456789");
  const node = look("f");
  const handle = open(node, RDWR);
  expect(write(handle, 3, "abc").results).toEqual([3]);
  expect(write(handle, 12, "end").results).toEqual([3]);
  expect(readFileSync(path("f"), "latin1")).toBe("012abc6789\0\0end");
  expect(write(handle, 0, "").results).toEqual([0]);
  expect(write(open(node, OpenFlag.READ), 0, "x").errno).toBe(E.EBADF);
  expect(write(0, 0, "x").errno).toBe(E.EBADF);
  expect(write(handle, Number.MAX_SAFE_INTEGER, "x").errno).toBe(E.EFBIG);
});

test("appended data goes to the end, wherever that is by then", () => {
  writeFileSync(path("f"), "begin ");
  const handle = open(look("f"), OpenFlag.WRITE | OpenFlag.APPEND);
  appendFileSync(path("f"), "HOST ");
  write(handle, 0, "client ");
  appendFileSync(path("f"), "HOST");
  expect(readFileSync(path("f"), "utf8")).toBe("begin HOST client HOST");
});

test("writes of a synchronous handle are answered once they are on the disk", async () => {
  writeFileSync(path("f"), "");
  for (const flag of [OpenFlag.SYNC, OpenFlag.DSYNC]) {
    const handle = open(look("f"), RDWR | flag);
    expect(write(handle, 0, "data").results).toEqual([4]);
    client.ok("FSYNC", handle, 0);
    client.ok("FSYNC", handle, 1);
  }
  expect(client.errno("FSYNC", 0, 0)).toBe(E.EBADF);
  const threads = async () => (await server.snapshot()).totals.threads ?? 0;
  await until(async () => (await threads()) > 0, "a thread is counted");
});

test("a handle that is released while it is written back is closed afterwards", async () => {
  writeFileSync(path("f"), "");
  const handle = open(look("f"), RDWR);
  expect(server.openOn(path("f"))).toBe(1);
  for (let slot = 0; slot < 20; slot++) client.send(slot, "FSYNC", [handle, 0]);
  release(handle);
  for (let slot = 0; slot < 20; slot++) expect(client.reply(slot).errno).toBe(0);
  await until(() => server.openOn(path("f")) === 0, "the descriptor is closed");
  expect(client.errno("FSYNC", handle, 0)).toBe(E.EBADF);
});

test("more calls in other threads than there are places all end well", () => {
  writeFileSync(path("f"), "");
  const handle = open(look("f"), RDWR);
  for (let slot = 0; slot < 400; slot++) client.send(slot, "FSYNC", [handle, 1]);
  for (let slot = 0; slot < 400; slot++) expect(client.reply(slot).errno).toBe(0);
});

test("writing clears set-user-id where the client says so, and only there", () => {
  const kill = OpenFlag.KILL_SUIDGID;
  for (const [name, flags, expected] of [
    ["kept", 0, 0o106755],
    ["killed", 1, 0o100755],
  ] as const) {
    writeFileSync(path(name), "x");
    chmodSync(path(name), 0o6755);
    const handle = open(look(name), RDWR);
    write(handle, 0, "y", flags);
    expect(statSync(path(name)).mode).toBe(expected);
  }
  writeFileSync(path("t"), "x");
  chmodSync(path("t"), 0o4755);
  open(look("t"), RDWR | OpenFlag.TRUNCATE | kill);
  expect(statSync(path("t"))).toMatchObject({ mode: 0o100755, size: 0 });
  chownSync(path("kept"), 0, 0);
});

test("OPEN with TRUNCATE empties the file, also for reading only", () => {
  writeFileSync(path("f"), "data");
  const node = look("f");
  open(node, OpenFlag.READ | OpenFlag.TRUNCATE);
  expect(statSync(path("f")).size).toBe(0);
});

test("an unlinked file lives on as long as it is open", () => {
  writeFileSync(path("f"), "data");
  const node = look("f");
  const handle = open(node, RDWR);
  unlinkSync(path("f"));
  expect(String(read(handle, 0, 10).payload)).toBe("data");
  expect(client.errno("GETATTR", node, 0)).toBe(0);
  client.oneway(Oneway.FORGET, 1, node, 1);
  expect(String(read(handle, 0, 10).payload)).toBe("data");
  expect(client.errno("GETATTR", node, handle)).toBe(E.ESTALE);
  release(handle);
  expect(read(handle, 0, 1).errno).toBe(E.EBADF);
});

test("FALLOCATE reserves, keeps the size, punches holes and says what it cannot", () => {
  writeFileSync(path("f"), Buffer.alloc(16384, 1));
  const handle = open(look("f"), RDWR);
  client.ok("FALLOCATE", handle, 0, 0, 32768, 0);
  expect(statSync(path("f")).size).toBe(32768);
  client.ok("FALLOCATE", handle, FALLOC_FL_KEEP_SIZE, 0, 65536, 0);
  expect(statSync(path("f")).size).toBe(32768);
  client.ok("FALLOCATE", handle, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 4096, 4096, 0);
  expect(readFileSync(path("f"))[5000]).toBe(0);
  expect(readFileSync(path("f"))[9000]).toBe(1);
  expect(client.errno("FALLOCATE", handle, 0, 0, 0, 0)).toBe(E.EINVAL);
  expect(client.errno("FALLOCATE", handle, 0x8000, 0, 1, 0)).toBe(E.EOPNOTSUPP);
  expect(client.errno("FALLOCATE", 0, 0, 0, 1, 0)).toBe(E.EBADF);
  const reader = open(look("f"), OpenFlag.READ);
  expect(client.errno("FALLOCATE", reader, 0, 0, 1, 0)).toBe(E.EBADF);
});

test("SEEK finds data and holes", () => {
  const fd = openSync(path("f"), "w+");
  ftruncateSync(fd, 1 << 20);
  writeSync(fd, "data", 512 * 1024);
  closeSync(fd);
  const handle = open(look("f"), OpenFlag.READ);
  expect(client.ok("SEEK", handle, 0, 3)).toEqual([512 * 1024]);
  expect(client.ok("SEEK", handle, 512 * 1024, 4)).toEqual([512 * 1024 + 4096]);
  expect(client.errno("SEEK", handle, 1 << 20, 3)).toBe(E.ENXIO);
  expect(client.errno("SEEK", handle, 0, 2)).toBe(E.EINVAL);
  expect(client.errno("SEEK", 0, 0, 3)).toBe(E.EBADF);
});

test("COPY_RANGE copies on the HOST", () => {
  writeFileSync(path("a"), "0123456789");
  writeFileSync(path("b"), "");
  const a = open(look("a"), OpenFlag.READ);
  const b = open(look("b"), RDWR);
  expect(client.ok("COPY_RANGE", a, 2, b, 1, 100, 0)).toEqual([8]);
  expect(readFileSync(path("b"), "latin1")).toBe("\x0023456789");
  expect(client.ok("COPY_RANGE", a, 10, b, 0, 1, 0)).toEqual([0]);
  expect(client.errno("COPY_RANGE", b, 0, a, 0, 1, 0)).toBe(E.EBADF);
  expect(client.errno("COPY_RANGE", b, 0, b, 1, 2, 0)).toBe(E.EINVAL);
  expect(client.errno("COPY_RANGE", 0, 0, b, 1, 2, 0)).toBe(E.EBADF);
});

test("an open file follows its renames on the HOST", () => {
  writeFileSync(path("f"), "data");
  const node = look("f");
  const handle = open(node, RDWR);
  renameSync(path("f"), path("g"));
  expect(client.errno("GETATTR", node, 0)).toBe(0);
  expect(client.errno("SETATTR", node, 0, 1, 0o600, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
  expect(statSync(path("g")).mode).toBe(0o100600);
  write(handle, 0, "DATA");
  expect(readFileSync(path("g"), "utf8")).toBe("DATA");
  expect(existsSync(path("f"))).toBe(false);
});

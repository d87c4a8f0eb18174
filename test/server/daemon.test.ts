/** Starting and stopping a server: what is refused, where it listens, what it leaves. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { startServer } from "../../src/server/daemon.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { entryOf } from "../support/attributes.ts";
import { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

let server: TestServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

/** A port that nobody listens at. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop();
  return port;
}

/** Options of a server that cannot start. */
function wrong(address: string, path: string, insecure = false) {
  const listen = [parseAddress(address)];
  const exports = [{ path, readOnly: false }];
  return { listen, exports, insecure, uids: [0], command: ["/bin/false"], log() {} };
}

test("TCP without authentication is refused unless it is asked for", () => {
  expect(() => startServer(wrong("tcp://127.0.0.1:1", "/tmp"))).toThrow("add --insecure");
});

test("an export that is no directory is refused in one sentence", () => {
  for (const path of ["/no-such-directory", "/etc/passwd"]) {
    expect(() => startServer(wrong("unix:///tmp/never.sock", path))).toThrow(
      `Cannot export ${path}`,
    );
  }
});

test("an address that cannot be had is refused in one sentence", async () => {
  server = await TestServer.start();
  expect(() => startServer(wrong(`unix://${server?.address}`, "/tmp"))).toThrow(
    "Address already in use",
  );
  expect(() => startServer(wrong("tcp://192.0.2.1:9", "/tmp", true))).toThrow("Cannot listen at");
});

test("a server listens at all its addresses at once, root's alone and TCP", async () => {
  const tcp = `tcp://127.0.0.1:${freePort()}`;
  server = await TestServer.start({ listen: [tcp] });
  expect(statSync(server.address).mode & 0o777).toBe(0o600);
  writeFileSync(server.path("f"), Buffer.alloc(3 << 20, 7));
  for (const address of [tcp, `unix://${server.address}`]) {
    const client = RawClient.attached(address, server.share);
    const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
    const [handle] = client.ok("OPEN", node, 1, 0) as [number];
    const read = client.call("READ", [handle, 1 << 20, 1 << 20]);
    expect(read.payload.equals(Buffer.alloc(1 << 20, 7))).toBe(true);
    client.close();
  }
});

test("a server that stops lets calls under way end, and leaves waits alone", async () => {
  server = await TestServer.start();
  writeFileSync(server.path("f"), Buffer.alloc(8 << 20, 1));
  const client = RawClient.attached(server.address, server.share);
  const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
  const [a] = client.ok("OPEN", node, 3, 0) as [number];
  const [b] = client.ok("OPEN", node, 3, 0) as [number];
  client.ok("FLOCK", a, 1, 0);
  client.send(1, "FLOCK", [b, 1, 1]);
  for (let slot = 2; slot < 40; slot++) client.send(slot, "FSYNC", [a, 0]);
  client.send(40, "PING", []);
  client.reply(40);
  const code = server.end();
  await Bun.sleep(0);
  for (let slot = 2; slot < 40; slot++) expect(client.reply(slot).errno).toBe(0);
  expect(client.ended()).toEqual([5, "server is stopping"]);
  expect(client.answered(1)).toBe(false);
  client.close();
  expect(await code).toBe(0);
});

test("a server that stops says goodbye, ends with 0 and takes its socket away", async () => {
  server = await TestServer.start();
  const client = RawClient.attached(server.address, server.share);
  client.ok("PING");
  const code = server.end();
  await Bun.sleep(0);
  expect(client.ended()).toEqual([5, "server is stopping"]);
  client.close();
  expect(await code).toBe(0);
  expect(existsSync(server.address)).toBe(false);
});

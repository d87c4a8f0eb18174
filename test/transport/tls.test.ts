/** Frames by TLS over a socket pair whose buffers are tiny, so that everything goes in parts. */
import { afterAll, expect, test } from "bun:test";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { type Side, TlsContext } from "../../src/sys/openssl/context.ts";
import { TlsEnd } from "../../src/sys/openssl/end.ts";
import { SOCK_STREAM, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { type KeyPair, makeCertificate, makeRevocations } from "../../src/sys/x509.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { TlsChannel } from "../../src/transport/tls.ts";
import { CLOSED } from "../../src/transport/transport.ts";
import { PAYLOAD_MAX } from "../../src/wire/limits.ts";
import { random, seedFor } from "../support/random.ts";

const KIND = 1;
const DAY_MS = 24 * 3600 * 1000;
const PEER = { description: "the other end" };
const directory = mkdtempSync(join(tmpdir(), "qtfs-tls-"));
const file = openSync(join(directory, "file"), "w+");
const memory = allocate(PAYLOAD_MAX);
afterAll(() => {
  closeSync(file);
  rmSync(directory, { recursive: true });
});

const validity = {
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + DAY_MS),
};
const authority = makeCertificate({
  commonName: "authority",
  usage: "authority",
  serial: 1,
  ...validity,
});

function shown(usage: Side, serial: number): KeyPair {
  const uri = `spiffe://test/${usage}`;
  return makeCertificate({ commonName: usage, uri, usage, serial, issuer: authority, ...validity });
}

function context(side: Side, serial = 2, revocations: string[] = []): TlsContext {
  const { key, certificate } = shown(side, serial);
  const authorities = [authority.certificate];
  return new TlsContext(side, { key, certificates: [certificate], authorities, revocations });
}

const greeting = { check: () => undefined, explain: (reason: string) => reason };

/** Client and server, before their handshake. */
function ends(client = context("client"), server = context("server")) {
  const fds = socketPair(SOCK_STREAM);
  if (typeof fds === "number") throw new Error(`socketpair: errno ${-fds}`);
  const [one, other] = fds.map((fd, i) => {
    setBuffers(fd, 1);
    const end = TlsEnd.begin(i === 0 ? client : server);
    return new SocketTransport(fd, PEER, new TlsChannel(fd, end, greeting));
  });
  return [one as SocketTransport, other as SocketTransport] as const;
}

/** Lets both work until `isDone`. */
function turn(pair: readonly SocketTransport[], isDone: () => boolean): void {
  for (let round = 0; !isDone(); round++) {
    if (round > 1_000_000) throw new Error("it does not come to an end");
    for (const transport of pair) {
      transport.receive();
      transport.flush();
    }
  }
}

function drop(pair: readonly SocketTransport[]): void {
  for (const transport of pair) {
    transport.close();
    transport.release();
  }
}

test("frames of all kinds come as they were sent, in both directions", () => {
  const seed = seedFor("tls");
  const chance = random(seed);
  const pair = ends();
  const [one, other] = pair;
  for (let i = 0; i < 60; i++) {
    const [from, to] = i % 2 === 0 ? [one, other] : [other, one];
    const length = chance.below(i % 5 === 0 ? PAYLOAD_MAX : 5000);
    const payload = Buffer.alloc(length, i + 1);
    for (let at = 0; at < length; at += 97) payload[at] = chance.below(256);
    const w = from.begin(KIND);
    w.uint(i);
    if (i % 3 === 0) {
      memory.bytes.set(payload);
      from.endWith(memory.address, length);
    } else if (i % 3 === 1) {
      ftruncateSync(file, 0);
      writeSync(file, payload, 0, length, 0);
      from.endWithFile(file, 0, length);
    } else from.endCopy(payload, length);
    turn(pair, () => to.next());
    expect(to.reader.uint()).toBe(i);
    const got = to.reader.bytes.subarray(to.payloadStart, to.payloadStart + to.payloadLength);
    expect(Buffer.compare(got, payload)).toBe(0);
  }
  expect(one.splices).toBe(false);
  drop(pair);
});

test("a peer that hangs up has ended the connection, which is no failure", () => {
  const pair = ends();
  const [one, other] = pair;
  one.begin(KIND).uint(1);
  one.end();
  turn(pair, () => other.next());
  one.close();
  expect(other.receive()).toBe(CLOSED);
  expect(other.failure).toBeUndefined();
  drop(pair);
});

test("bytes that are changed on the way end the connection", () => {
  const pair = ends();
  const [one, other] = pair;
  one.begin(KIND).uint(1);
  one.end();
  turn(pair, () => other.next());
  // A record of application data that nobody has encrypted.
  memory.bytes.set([0x17, 3, 3, 0, 20, ...Buffer.alloc(20, 7)]);
  write(one.fd, memory.address, 25);
  expect(other.receive()).toBe(CLOSED);
  expect(other.failure).toContain("decryption failed");
  drop(pair);
});

test("a revoked certificate gets nobody in, and is found later too", () => {
  const options = {
    issuer: authority,
    lastUpdate: validity.notBefore,
    nextUpdate: validity.notAfter,
  };
  const list = makeRevocations({ ...options, serials: [77] });
  const strict = context("server", 3, [list]);
  const refused = ends(context("client", 77), strict);
  refused[0].begin(KIND).uint(1);
  refused[0].end();
  turn(refused, () => refused.every(({ closed }) => closed));
  expect(refused[1].failure).toBe("certificate revoked");
  expect(refused[0].failure).toContain("alert certificate revoked");
  drop(refused);

  const pair = ends(context("client", 78), strict);
  const [one, other] = pair;
  one.begin(KIND).uint(1);
  one.end();
  turn(pair, () => other.next());
  const { end } = other.channel as TlsChannel;
  expect(strict.refusalOf(end)).toBeUndefined();
  const later = makeRevocations({ ...options, serials: [77, 78] });
  expect(context("server", 4, [later]).refusalOf(end)).toBe("certificate revoked");
  drop(pair);
});

test("a key that is another certificate's is no credential", () => {
  const { key } = shown("server", 5);
  const { certificate } = shown("server", 6);
  const authorities = [authority.certificate];
  const credentials = { key, certificates: [certificate], authorities, revocations: [] };
  expect(() => new TlsContext("server", credentials)).toThrow("The key is not the certificate's");
  const broken = { ...credentials, key: "-----BEGIN PRIVATE KEY-----\nsecret" };
  expect(() => new TlsContext("server", broken)).toThrow(/^The key cannot be read$/);
});

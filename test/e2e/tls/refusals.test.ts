/** Who does not get past the handshake: what both sides say, and what is counted. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { TlsContext } from "../../../src/sys/openssl/context.ts";
import { TlsEnd } from "../../../src/sys/openssl/end.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import type { KeyPair } from "../../../src/sys/x509.ts";
import { parseAddress } from "../../../src/transport/address.ts";
import { connectTo } from "../../../src/transport/endpoint.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { TlsChannel } from "../../../src/transport/tls.ts";
import { CLOSED } from "../../../src/transport/transport.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { DAY_MS, Place } from "./place.ts";

const place = new Place();
let good: string;

beforeAll(async () => {
  good = await place.enroll("web1");
  await place.start();
});
afterAll(() => place.close());

/** Connects with a certificate as it is, past our own client's checks; what the server's TLS says. */
function knock({ key, certificate }: KeyPair): string {
  const authorities = [place.authority.certificate];
  const shown = { key, certificates: [certificate], authorities, revocations: [] };
  const fd = connectTo(parseAddress(place.address));
  const end = TlsEnd.begin(new TlsContext("client", shown));
  const greeting = { check: () => undefined, explain: (reason: string) => reason };
  const transport = new SocketTransport(fd, { description: "" }, new TlsChannel(fd, end, greeting));
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  while (transport.receive() !== CLOSED) polls.wait(10_000);
  const said = transport.failure ?? (transport.next() ? "goodbye" : "nothing");
  transport.release();
  return said;
}

const yesterday = () => new Date(Date.now() - DAY_MS / 2);
const tomorrow = () => new Date(Date.now() + DAY_MS / 2);

interface Case {
  what: string;
  made: () => KeyPair;
  counter: string;
  server: string;
  client: string;
}

const CASES: Case[] = [
  {
    what: "of an authority that nobody knows",
    made: () => {
      const { key, certificate } = place.certificate("other", {
        usage: "authority",
        issuer: undefined as never,
      });
      return place.certificate("web1", { issuer: { key, certificate } });
    },
    counter: "tlsUnknownAuthority",
    server: "unable to get local issuer certificate",
    client: "unknown ca",
  },
  {
    what: "that has expired",
    made: () => place.certificate("web1", { notAfter: yesterday() }),
    counter: "tlsExpired",
    server: "certificate has expired",
    client: "certificate expired",
  },
  {
    what: "that is not valid yet",
    made: () => place.certificate("web1", { notBefore: tomorrow() }),
    counter: "tlsNotYetValid",
    server: "certificate is not yet valid",
    client: "bad certificate",
  },
  {
    what: "of a server",
    made: () => place.certificate("web1", { usage: "server" }),
    counter: "tlsWrongUsage",
    server: "purpose",
    client: "unsupported certificate",
  },
  {
    what: "for a name that is not enrolled",
    made: () => place.certificate("stranger"),
    counter: "tlsUnknownName",
    server: "stranger is not enrolled",
    client: "goodbye",
  },
  {
    what: "for no name",
    made: () => place.certificate("web1", { uri: "https://example.org/web1" }),
    counter: "tlsUnknownName",
    server: "its certificate is for https://example.org/web1",
    client: "goodbye",
  },
];

test.each(CASES)("a certificate $what", async ({ made, counter, server, client }) => {
  const before = await place.count(counter);
  expect(knock(made())).toContain(client);
  await place.says(server);
  expect(await place.count(counter)).toBe(before + 1);
});

test("one that was revoked", async () => {
  const revoked = await place.enroll("web2");
  await place.identity("revoke", "web2");
  const { code, stderr } = await place.mount(`identity=${revoked}`);
  expect(code).not.toBe(0);
  expect(stderr).toContain("does not accept our certificate: certificate revoked");
  await place.says("certificate revoked");
  expect(await place.count("tlsRevoked")).toBe(1);
});

test("our client says what is wrong before it connects", async () => {
  const late = place.forge(good, place.certificate("web1", { notAfter: yesterday() }));
  expect((await place.mount(`identity=${late}`)).stderr).toContain("has expired at");
  const early = place.forge(good, place.certificate("web1", { notBefore: tomorrow() }));
  expect((await place.mount(`identity=${early}`)).stderr).toContain("is not valid before");
});

test("a mount as somebody who is not enrolled is told so", async () => {
  const forged = place.forge(good, place.certificate("nobody"));
  const { code, stderr } = await place.mount(`identity=${forged}`);
  expect(code).not.toBe(0);
  expect(stderr).toContain("The server refused: nobody is not enrolled");
});

/** A TLS client that is not ours; what came of it. */
async function stranger(options: { maxVersion?: "TLSv1.2" }): Promise<string> {
  const address = parseAddress(place.address);
  if (address.kind !== "tcp") throw new Error("no TCP");
  const { promise, resolve } = Promise.withResolvers<string>();
  const { host, port } = address;
  const socket = connect({ host, port, rejectUnauthorized: false, ...options });
  socket.on("error", (error) => resolve(error.message));
  socket.on("close", () => resolve("closed"));
  const said = await promise;
  socket.destroy();
  return said;
}

test("no certificate", async () => {
  await stranger({});
  await place.says("it has shown no certificate");
  expect(await place.count("tlsNoCertificate")).toBe(1);
});

test("TLS 1.2", async () => {
  await stranger({ maxVersion: "TLSv1.2" });
  await place.says("it does not speak TLS 1.3");
  expect(await place.count("tlsOldProtocol")).toBe(1);
});

test("no TLS at all", async () => {
  const { code, stderr } = await place.mount(`insecure,server=${place.address}`);
  expect(code).not.toBe(0);
  expect(stderr).toContain("this server speaks TLS alone");
  await place.says("it does not speak TLS");
  expect(await place.count("tlsPlaintext")).toBe(1);
});

test("a server that is another one", async () => {
  const path = `${place.directory}/other.identity`;
  const text = readFileSync(good, "utf8").replace(
    /^server: .*$/m,
    "server: spiffe://elsewhere/server",
  );
  writeFileSync(path, text, { mode: 0o600 });
  const { code, stderr } = await place.mount(`identity=${path}`);
  expect(code).not.toBe(0);
  expect(stderr).toContain("not spiffe://elsewhere/server");
});

test("a key that others may read is used by nobody", async () => {
  const path = `${place.directory}/open.identity`;
  writeFileSync(path, readFileSync(good), { mode: 0o600 });
  chmodSync(path, 0o640);
  const { code, stderr } = await place.mount(`identity=${path}`);
  expect(code).not.toBe(0);
  expect(stderr).toContain(`chmod 600 ${path}`);
});

test("an identity beneath the mountpoint is not used", async () => {
  const path = `${place.mountpoint}/own.identity`;
  writeFileSync(path, readFileSync(good), { mode: 0o600 });
  const { code, stderr } = await place.mount(`identity=${path}`);
  rmSync(path);
  expect(code).not.toBe(0);
  expect(stderr).toContain("lies beneath");
});

test("without identities no TCP listener starts, on any address", async () => {
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const words = ["--listen", `tcp://${host}:47199`, "--export", place.tree];
    const none = ["--identities", `${place.directory}/none`];
    const { code, stderr } = await run([QTFS, "server", ...words, ...none], { timeoutMs: 30_000 });
    expect(code).toBe(1);
    expect(stderr).toContain("names.json");
  }
});

test("neither log nor command lines have anything of a key", async () => {
  const [secret] =
    /-----BEGIN PRIVATE KEY-----\n(.{40})/.exec(readFileSync(good, "utf8"))?.slice(1) ?? [];
  expect(secret).toBeString();
  expect(place.log).not.toContain(secret as string);
  expect(place.mountLog).not.toContain(secret as string);
  expect(readFileSync(`/proc/${place.pid}/cmdline`, "utf8")).not.toContain(secret as string);
});

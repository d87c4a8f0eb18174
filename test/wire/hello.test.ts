/** HELLO: what is accepted, and that a stranger's bytes do nothing else. */
import { describe, expect, test } from "bun:test";
import { encode } from "cbor-x/encode";
import { ProtocolError } from "../../src/wire/error.ts";
import {
  type ClientHello,
  commonVersion,
  decodeClientHello,
  decodeServerHello,
  encodeHello,
  MAGIC,
  type ServerHello,
} from "../../src/wire/hello.ts";
import { ITEMS_MAX, NESTING_MAX, SLOTS_MAX, VERSION_MAX } from "../../src/wire/limits.ts";
import { decodePlain } from "../../src/wire/plain.ts";
import { helloOf } from "../support/client.ts";
import { random, seedFor } from "../support/random.ts";

const client = helloOf({ capabilities: ["files"] });
const server: ServerHello = {
  version: VERSION_MAX,
  capabilities: ["files", "locks"],
  slots: SLOTS_MAX,
  leaseMs: 60_000,
  resumed: true,
  oneways: 3,
  lives: 2,
  facts: client.facts,
};

const without = (hello: object, key: string) =>
  encode({ magic: MAGIC, ...Object.fromEntries(Object.entries(hello).filter(([k]) => k !== key)) });
const having = (hello: object, changes: object) => encode({ magic: MAGIC, ...hello, ...changes });

test("both HELLOs come back as they were", () => {
  expect(decodeClientHello(encodeHello(client))).toEqual(client);
  expect(decodeServerHello(encodeHello(server))).toEqual(server);
});

test("fields that are not known are left out, so that later versions may add some", () => {
  expect(decodeClientHello(having(client, { later: [1, 2] }))).toEqual(client);
});

test.each(["magic", ...Object.keys(client)])("a client's HELLO without %s is refused", (key) => {
  const bytes = key === "magic" ? encode(client) : without(client, key);
  expect(() => decodeClientHello(bytes)).toThrow(ProtocolError);
});

test.each(Object.keys(server))("a server's HELLO without %s is refused", (key) => {
  expect(() => decodeServerHello(without(server, key))).toThrow(ProtocolError);
});

test.each(Object.keys(client.facts))("facts without %s are refused", (key) => {
  const facts = Object.fromEntries(Object.entries(client.facts).filter(([k]) => k !== key));
  expect(() => decodeClientHello(having(client, { facts }))).toThrow(ProtocolError);
});

test("a HELLO for streams names the session they belong to, any other does not", () => {
  const parent = "0123456789abcdef".repeat(2);
  const streams: ClientHello = { ...client, role: "streams", parent };
  expect(decodeClientHello(encodeHello(streams))).toEqual(streams);
  expect(() => decodeClientHello(without(streams, "parent"))).toThrow(ProtocolError);
  expect(() => decodeClientHello(having(streams, { parent: "me" }))).toThrow(ProtocolError);
  expect(decodeClientHello(having(client, { parent }))).toEqual(client);
});

const WRONG: [string, Partial<Record<keyof ClientHello, unknown>>][] = [
  ["versions that are no pair", { versions: [1] }],
  ["a version that is no integer", { versions: [1, 1.5] }],
  ["a negative version", { versions: [-1, 1] }],
  ["a version beyond 16 bits", { versions: [1, 65536] }],
  ["an unknown role", { role: "root" }],
  ["a session of another length", { session: "0123" }],
  ["a session in capitals", { session: "A".repeat(32) }],
  ["capabilities that are no list", { capabilities: "files" }],
  ["a capability that is no text", { capabilities: [1] }],
  ["a capability of 257 characters", { capabilities: ["x".repeat(257)] }],
  ["facts that are null", { facts: null }],
  ["facts with a page size that is text", { facts: { ...client.facts, pageSize: "4096" } }],
];

test.each(WRONG)("%s: refused", (_, changes) => {
  expect(() => decodeClientHello(having(client, changes))).toThrow(ProtocolError);
});

test("a server that grants no slots, or more than there are, is refused", () => {
  for (const slots of [0, SLOTS_MAX + 1, -1]) {
    expect(() => decodeServerHello(having(server, { slots }))).toThrow(ProtocolError);
  }
});

test("a HELLO of more than its bytes is refused before it is looked at", () => {
  const capabilities = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(50, "x"));
  expect(() => decodeClientHello(having(client, { capabilities }))).toThrow("too long");
});

test("every HELLO cut off or with a byte changed is read or refused, never anything else", () => {
  const whole = encodeHello(client);
  for (let length = 0; length < whole.length; length++) {
    expect(() => decodeClientHello(whole.slice(0, length))).toThrow(ProtocolError);
  }
  const rng = random(seedFor("hello"));
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from(whole);
    for (let i = 0; i <= rng.below(3); i++) bytes[rng.below(bytes.length)] = rng.next() & 0xff;
    try {
      decodeClientHello(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
    }
  }
});

test("the newest version that both speak is chosen, or none", () => {
  expect(commonVersion([VERSION_MAX, VERSION_MAX])).toBe(VERSION_MAX);
  expect(commonVersion([1, VERSION_MAX + 5])).toBe(VERSION_MAX);
  expect(commonVersion([VERSION_MAX + 1, VERSION_MAX + 5])).toBe(0);
  expect(commonVersion([0, 0])).toBe(0);
});

describe("plain CBOR", () => {
  const refused = (hex: string) =>
    expect(() => decodePlain(Buffer.from(hex, "hex"))).toThrow(ProtocolError);

  test("is what RFC 8949 calls so", () => {
    const value = { a: [1, -1, 2 ** 40, 1.5, "text", true, false, null], b: { c: [] } };
    expect(decodePlain(encode(value))).toEqual({ ...value, a: expect.anything() });
    expect(decodePlain(Buffer.from("43010203", "hex"))).toEqual(Buffer.from([1, 2, 3]));
  });

  test("has no tags, whatever their number", () => {
    for (let tag = 0; tag < 256; tag++) refused(`d8${tag.toString(16).padStart(2, "0")}80`);
    // Records, bundled strings and the other extensions of cbor-x.
    for (const hex of ["d9dfff80", "d9dff98200", "d9e00080", "c001", "d81b82644576616c6178"]) {
      refused(hex);
    }
  });

  test("has lengths that are known and true", () => {
    for (const hex of ["9fff", "bfff", "5f4101ff", "7f6161ff", "1c", "1f", "ff", ""]) refused(hex);
    for (const hex of ["9affffffff", "bb00000000ffffffff", "5b00000001000000", "7affffffff"]) {
      refused(hex);
    }
    refused("8301");
    refused("0000");
  });

  test("is bounded in depth and width", () => {
    const deep = (levels: number) => Buffer.from(`${"81".repeat(levels)}00`, "hex");
    expect(() => decodePlain(deep(NESTING_MAX))).not.toThrow();
    expect(() => decodePlain(deep(NESTING_MAX + 1))).toThrow("nested too deeply");
    expect(() => decodePlain(deep(100_000))).toThrow("nested too deeply");
    expect(() => decodePlain(encode(new Array(ITEMS_MAX).fill(0)))).not.toThrow();
    expect(() => decodePlain(encode(new Array(ITEMS_MAX + 1).fill(0)))).toThrow("items");
  });

  test("is bounded in all, not only in each part", () => {
    const wide = (depth: number): unknown =>
      depth === 0 ? 0 : new Array(40).fill(wide(depth - 1));
    expect(() => decodePlain(encode(wide(3)))).toThrow("items");
  });
});

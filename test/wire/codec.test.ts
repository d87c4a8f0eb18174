/** Writer and Reader against cbor-x, which knows nothing of them. */
import { describe, expect, test } from "bun:test";
import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import { allocate } from "../../src/sys/memory.ts";
import { emptyAttributes, readAttributes } from "../../src/wire/attributes.ts";
import { ATTRIBUTE_FIELDS } from "../../src/wire/constants.ts";
import { ProtocolError } from "../../src/wire/error.ts";
import { Reader } from "../../src/wire/reader.ts";
import { Writer } from "../../src/wire/writer.ts";
import { random, seedFor } from "../support/random.ts";

const region = allocate(1 << 20);
const writer = new Writer(region);
const reader = new Reader(region.bytes, region.view);
const encoder = new Encoder({ useRecords: false, tagUint8Array: false });
const decoder = new Decoder({ useRecords: false });

/** What `write` wrote. */
function written(write: (w: Writer) => unknown): Buffer<ArrayBuffer> {
  writer.at = 0;
  write(writer);
  return Buffer.from(region.bytes.subarray(0, writer.at));
}

/** A Reader on `bytes` and nothing behind them. */
function reading(bytes: Uint8Array): Reader {
  region.bytes.set(bytes);
  reader.window(0, bytes.length);
  return reader;
}

const decode = (bytes: Uint8Array) => decoder.decode(bytes);

/** Every width's first and last value, and their neighbours. */
const BOUNDARIES = [0, 1, 23, 24, 25, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000]
  .concat([0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 2 ** 40 + 12345])
  .concat([Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]);
const BIG_BOUNDARIES = BOUNDARIES.map(BigInt).concat([
  ...[2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 2n, 2n ** 64n - 1n],
]);

/** The shortest encoding, by RFC 8949 §4.2.1, written down here once more. */
function shortest(major: number, value: bigint): Buffer<ArrayBuffer> {
  const head = (info: number) => (major << 5) | info;
  if (value < 24n) return Buffer.from([head(Number(value))]);
  const width = value < 0x100n ? 1 : value < 0x1_0000n ? 2 : value < 0x1_0000_0000n ? 4 : 8;
  const hex = value.toString(16).padStart(width * 2, "0");
  return Buffer.concat([Buffer.from([head(24 + Math.log2(width))]), Buffer.from(hex, "hex")]);
}

describe("integers", () => {
  test.each(BOUNDARIES)("unsigned %d", (value) => {
    const bytes = written((w) => w.uint(value));
    expect(bytes).toEqual(shortest(0, BigInt(value)));
    expect(BigInt(decode(bytes))).toBe(BigInt(value));
    expect(reading(bytes).uint()).toBe(value);
    reader.finish();
    if (value < 2 ** 32) expect(Buffer.from(encoder.encode(value))).toEqual(bytes);
    if (value < 2 ** 32) expect(reading(bytes).uint32()).toBe(value);
    else expect(() => reading(bytes).uint32()).toThrow("exceeds 32 bits");
  });

  test.each(BOUNDARIES)("signed %d and its negative", (value) => {
    for (const signed of [value, -value, -1 - value].filter(Number.isSafeInteger)) {
      const bytes = written((w) => w.int(signed));
      expect(BigInt(decode(bytes))).toBe(BigInt(signed));
      expect(reading(bytes).int()).toBe(signed === 0 ? 0 : signed);
      reader.finish();
    }
  });

  test.each(BIG_BOUNDARIES)("64 bits %d", (value) => {
    const bytes = written((w) => w.uint64(Number(value >> 32n), Number(value & 0xffff_ffffn)));
    expect(bytes).toEqual(shortest(0, value));
    expect(BigInt(decode(bytes))).toBe(value);
    reading(bytes).uint64();
    expect((BigInt(reader.high) << 32n) | BigInt(reader.low)).toBe(value);
    reader.finish();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      expect(() => reading(bytes).uint()).toThrow("exceeds 53 bits");
    }
  });

  test("forms that are longer than need be are read all the same", () => {
    for (const hex of ["07", "1807", "190007", "1a00000007", "1b0000000000000007"]) {
      expect(reading(Buffer.from(hex, "hex")).uint()).toBe(7);
      reading(Buffer.from(hex, "hex")).uint64();
      expect([reader.high, reader.low]).toEqual([0, 7]);
    }
  });
});

describe("arrays and byte strings", () => {
  test.each(BOUNDARIES)("array of %d", (count) => {
    const bytes = written((w) => w.array(count));
    expect(bytes).toEqual(shortest(4, BigInt(count)));
    expect(reading(bytes).array()).toBe(count);
  });

  test.each([0, 1, 23, 24, 255, 256, 65535, 65536, 100_000])("byte string of %d", (length) => {
    const source = Buffer.alloc(length + 2, 7).fill(9, length + 1);
    const bytes = written((w) => w.blob(source, 1, length + 1));
    expect(Buffer.from(decode(bytes))).toEqual(source.subarray(1, length + 1));
    expect(Buffer.from(encoder.encode(source.subarray(1, length + 1)))).toEqual(bytes);
    expect(reading(bytes).blob(length)).toBe(length);
    expect([reader.start, reader.at]).toEqual([bytes.length - length, bytes.length]);
    if (length > 0) expect(() => reading(bytes).blob(length - 1)).toThrow("exceeds");
  });

  test("text whose characters are bytes", () => {
    const text = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
    const bytes = written((w) => w.latin1(text));
    expect(reading(bytes).latin1(256)).toBe(text);
    expect(Buffer.from(decode(bytes)).toString("latin1")).toBe(text);
  });
});

const SEED = seedFor("codec");

test(`random headers decode with cbor-x and are encoded by it to the same bytes (${SEED})`, () => {
  const rng = random(SEED);
  for (let round = 0; round < 2000; round++) {
    const items: (number | Buffer<ArrayBuffer>)[] = Array.from({ length: rng.below(30) }, () =>
      rng.chance(0.3)
        ? Buffer.from(rng.bytes(rng.below(300)))
        : Math.floor(rng.unit() * 2 ** rng.below(33)) * (rng.chance(0.2) ? -1 : 1),
    );
    const bytes = written((w) => {
      w.array(items.length);
      for (const item of items) {
        if (typeof item === "number") w.int(item);
        else w.blob(item, 0, item.length);
      }
    });
    const decoded = decode(bytes) as (number | Uint8Array)[];
    expect(decoded.map((d) => (typeof d === "number" ? d : Buffer.from(d)))).toEqual(
      items.map((item) => (item === 0 ? 0 : item)),
    );
    expect(Buffer.from(encoder.encode(decoded))).toEqual(bytes);
    expect(reading(bytes).array()).toBe(items.length);
    for (const item of items) {
      if (typeof item === "number") expect(reader.int()).toBe(item === 0 ? 0 : item);
      else {
        reader.blob(300);
        expect(region.bytes.subarray(reader.start, reader.at).equals(item)).toBe(true);
      }
    }
    reader.finish();
  }
});

describe("what is refused", () => {
  const calls: [string, (r: Reader) => unknown][] = [
    ["array", (r) => r.array()],
    ["uint", (r) => r.uint()],
    ["uint32", (r) => r.uint32()],
    ["uint64", (r) => r.uint64()],
    ["int", (r) => r.int()],
    ["blob", (r) => r.blob(1000)],
    ["latin1", (r) => r.latin1(1000)],
  ];
  const valid: Record<string, string> = {
    array: "9a00000003",
    uint: "1b0000000100000000",
    uint32: "1affffffff",
    uint64: "1bffffffffffffffff",
    int: "3b0000000100000000",
    blob: "450102030405",
    latin1: "58030a0b0c",
  };

  test.each(calls)("%s cut off anywhere", (name, call) => {
    const whole = Buffer.from(valid[name] as string, "hex");
    expect(() => call(reading(whole))).not.toThrow();
    for (let length = 0; length < whole.length; length++) {
      // What lies behind the header's end must not be taken for a part of it.
      region.bytes.set(whole);
      reader.window(0, length);
      expect(() => call(reader)).toThrow(ProtocolError);
    }
  });

  test.each(calls)("%s where another type is", (name, call) => {
    const own: Record<string, number[]> = {
      array: [4],
      uint: [0],
      uint32: [0],
      uint64: [0],
      int: [0, 1],
      blob: [2],
      latin1: [2],
    };
    for (let first = 0; first < 256; first++) {
      const bytes = Buffer.alloc(64).fill(first, 0, 1);
      const good = (own[name] as number[]).includes(first >> 5) && (first & 31) < 28;
      if (good) expect(() => call(reading(bytes))).not.toThrow();
      else expect(() => call(reading(bytes))).toThrow(ProtocolError);
    }
  });

  test("a byte string longer than its frame", () => {
    for (const hex of ["5affffffff", "5b001fffffffffffff", "5bffffffffffffffff", "43aabb"]) {
      expect(() => reading(Buffer.from(hex, "hex")).blob(Number.MAX_SAFE_INTEGER)).toThrow(
        ProtocolError,
      );
    }
  });

  test("anything after the last item", () => {
    reading(Buffer.from("0101", "hex")).uint();
    expect(() => reader.finish()).toThrow("longer than its operation");
  });
});

test("attributes are read as they were written, nanoseconds of a second and more refused", () => {
  const values = Array.from({ length: ATTRIBUTE_FIELDS }, (_, i) => i * 1000 + 1);
  const into = emptyAttributes();
  const write = (list: number[]) => reading(written((w) => list.map((value) => w.uint(value))));
  write(values);
  readAttributes(reader, into);
  reader.finish();
  const { inoHigh, inoLow, ...rest } = into;
  expect(inoHigh * 2 ** 32 + inoLow).toBe(1);
  expect(Object.values(rest)).toEqual(values.slice(1));
  for (const at of [4, 6, 8]) {
    write(values.with(at, 1_000_000_000));
    expect(() => readAttributes(reader, into)).toThrow("nanoseconds exceed a second");
  }
});

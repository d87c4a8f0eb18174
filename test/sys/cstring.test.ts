/** Strings at addresses. */

import { CString, type Pointer, toArrayBuffer } from "bun:ffi";
import { expect, test } from "bun:test";
import { cstring, MAX_TEXT_BYTES, PathBuffer } from "../../src/sys/cstring.ts";
import { allocate, free, getWord64, putWord64 } from "../../src/sys/memory.ts";

const text = (address: number) => new CString(address as Pointer).toString();
const bytes = (address: number, n: number) => [
  ...new Uint8Array(toArrayBuffer(address as Pointer, 0, n)),
];

test("put stores UTF-8, putLatin1 a byte per character, putBytes a part of an array", () => {
  const paths = new PathBuffer(3);
  expect(text(paths.put(0, "naïve/日本"))).toBe("naïve/日本");
  expect(bytes(paths.putLatin1(1, "\xff\x80a"), 4)).toEqual([0xff, 0x80, 0x61, 0]);
  const source = Uint8Array.of(0, 0x61, 0x62, 0);
  expect(bytes(paths.putBytes(2, source, 1, 3), 3)).toEqual([0x61, 0x62, 0]);
  expect(text(paths.put(0, ""))).toBe("");
});

test("a shorter text leaves nothing of the longer one before", () => {
  const paths = new PathBuffer(1);
  paths.put(0, "a long path");
  expect(text(paths.put(0, "short"))).toBe("short");
  expect(text(paths.putLatin1(0, "tiny"))).toBe("tiny");
});

test("slots do not touch each other, even when they are full", () => {
  const paths = new PathBuffer(3);
  const first = paths.put(0, "first");
  const last = paths.put(2, "last");
  const middle = paths.putLatin1(1, "m".repeat(MAX_TEXT_BYTES));
  expect(text(first)).toBe("first");
  expect(text(last)).toBe("last");
  expect(text(middle)).toHaveLength(MAX_TEXT_BYTES);
});

test("too long a text, a NUL inside and a slot that is not there are refused", () => {
  const paths = new PathBuffer(2);
  const long = "x".repeat(MAX_TEXT_BYTES + 1);
  expect(() => paths.put(0, long)).toThrow(RangeError);
  expect(() => paths.put(0, "é".repeat(MAX_TEXT_BYTES / 2 + 1))).toThrow(RangeError);
  expect(() => paths.putLatin1(0, long)).toThrow(RangeError);
  expect(() => paths.putBytes(0, Buffer.from(long), 0, long.length)).toThrow(RangeError);
  expect(() => paths.put(0, "a\0b")).toThrow(RangeError);
  expect(() => paths.putLatin1(0, "a\0b")).toThrow(RangeError);
  expect(() => paths.putBytes(0, Uint8Array.of(97, 0, 98), 0, 3)).toThrow(RangeError);
  expect(() => paths.put(2, "x")).toThrow(RangeError);
  expect(() => paths.put(-1, "x")).toThrow(RangeError);
});

test("a text of exactly the room fits in UTF-8 too", () => {
  const paths = new PathBuffer(1);
  const full = `${"é".repeat((MAX_TEXT_BYTES - 1) / 2)}x`;
  expect(Buffer.byteLength(full)).toBe(MAX_TEXT_BYTES);
  expect(text(paths.put(0, full))).toBe(full);
});

test("cstring keeps the last eight texts", () => {
  const addresses = Array.from({ length: 8 }, (_, i) => cstring(`text ${i}`));
  expect(addresses.map(text)).toEqual(addresses.map((_, i) => `text ${i}`));
  expect(cstring("ninth")).toBe(addresses[0] ?? 0);
});

test("memory is zeroed, seen alike through its views, and given back", () => {
  const region = allocate(64);
  expect(region.bytes.every((byte) => byte === 0)).toBe(true);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    putWord64(region.words, 2, value);
    expect(region.view.getBigUint64(8, true)).toBe(BigInt(value));
    expect(getWord64(region.words, 2)).toBe(value);
  }
  putWord64(region.words, 2, -5_000_000_000);
  expect(region.view.getBigInt64(8, true)).toBe(-5_000_000_000n);
  free(region);
});

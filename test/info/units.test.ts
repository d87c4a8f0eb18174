import { expect, test } from "bun:test";
import { printable } from "../../src/info/printable.ts";
import { bytes, duration, integer, micros, words } from "../../src/info/units.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [10 * 1024, "10 KiB"],
  [3.25 * 1024 ** 2, "3.3 MiB"],
  [2 ** 60, "1024 PiB"],
])("%p bytes are %p", (count, text) => {
  expect(bytes(count)).toBe(text);
});

test.each([
  [0.256, "256 ns"],
  [1.25, "1.3 µs"],
  [999, "999 µs"],
  [1500, "1.5 ms"],
  [2_500_000, "2.5 s"],
])("%p microseconds are %p", (us, text) => {
  expect(micros(us)).toBe(text);
});

test.each([
  [0.4, "0 s"],
  [59.9, "59 s"],
  [60, "1 min"],
  [3723, "1 h 2 min"],
  [90_000, "1 d 1 h"],
  [86_400, "1 d"],
])("%p seconds are %p", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("counts have separators, names have words", () => {
  expect(integer(1234567)).toBe("1,234,567");
  expect(words("protocolErrors")).toBe("protocol errors");
});

test("control characters become visible, other text stays", () => {
  expect(printable("a\nb\x1b[31m\x9b\x7fé")).toBe("a⏎b\\x1b[31m\\x9b\\x7fé");
});

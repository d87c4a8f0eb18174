/** The prefix of a frame. */
import { expect, test } from "bun:test";
import { ProtocolError } from "../../src/wire/error.ts";
import { headerBytes, Kind, kindOf, payloadBytes, putPrefix } from "../../src/wire/frame.ts";
import { HEADER_MAX, PAYLOAD_MAX, PREFIX_BYTES } from "../../src/wire/limits.ts";

const view = new DataView(new ArrayBuffer(32));

test.each(Object.entries(Kind))("a prefix of kind %s", (_, kind) => {
  for (const [header, payload] of [
    [0, 0],
    [1, 1],
    [HEADER_MAX, PAYLOAD_MAX],
  ] as const) {
    putPrefix(view, 8, kind, header, payload);
    expect(kindOf(view, 8)).toBe(kind);
    expect(headerBytes(view, 8)).toBe(header);
    expect(payloadBytes(view, 8)).toBe(payload);
  }
});

test("the prefix lies as the picture in README.md says", () => {
  putPrefix(view, 0, Kind.REPLY, 0x00bbcc, 0x00112233);
  const bytes = new Uint8Array(view.buffer, 0, PREFIX_BYTES);
  expect([...bytes]).toEqual([0x33, 0x22, 0x11, 0x00, 0xcc, 0xbb, 0x00, Kind.REPLY]);
});

test("lengths beyond their limits and unknown kinds are refused", () => {
  putPrefix(view, 0, Kind.REQUEST, HEADER_MAX + 1, 0);
  expect(() => headerBytes(view, 0)).toThrow(ProtocolError);
  putPrefix(view, 0, Kind.REQUEST, 0xffffff, 0);
  expect(() => headerBytes(view, 0)).toThrow(ProtocolError);
  putPrefix(view, 0, Kind.REQUEST, 0, PAYLOAD_MAX + 1);
  expect(() => payloadBytes(view, 0)).toThrow(ProtocolError);
  putPrefix(view, 0, Kind.REQUEST, 0, 0xffff_ffff);
  expect(() => payloadBytes(view, 0)).toThrow(ProtocolError);
  const known = new Set<number>(Object.values(Kind));
  for (let kind = 0; kind < 256; kind++) {
    putPrefix(view, 0, kind, 5, 5);
    if (known.has(kind)) expect(kindOf(view, 0)).toBe(kind);
    else expect(() => kindOf(view, 0)).toThrow(ProtocolError);
  }
});

/** Frames of a hostile server, made from an honest one's. */
import { Kind, putPrefix } from "../../../src/wire/frame.ts";
import { PREFIX_BYTES } from "../../../src/wire/limits.ts";
import { Event } from "../../../src/wire/ops.ts";
import type { Random } from "../../support/random.ts";
import { head, items, Major } from "./cbor.ts";

/** A frame in its parts. */
export interface Frame {
  kind: number;
  header: Buffer;
  payload: Buffer;
}

const NUMBERS: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 23n, 24n, 127n, 255n, 256n, 511n, 512n, 4095n, 65_535n, 65_536n],
  ...[2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n],
  ...[2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 999_999_999n, 1_000_000_000n],
];
const NAMES: readonly Buffer[] = [
  ...["", ".", "..", "/", "a/b", "\0", "a\0b", "\n", "name", "x".repeat(255), "x".repeat(256)],
  ...["y".repeat(4095), "y".repeat(4096), "z".repeat(60_000)],
].map((text) => Buffer.from(text));

/** The frame's bytes, with lengths in its prefix that may be lies. */
export function encode(frame: Frame, header = frame.header.length, payload = frame.payload.length) {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  putPrefix(view, 0, frame.kind, header & 0xff_ffff, payload >>> 0);
  return Buffer.concat([prefix, frame.header, frame.payload]);
}

/** A frame of `kind` whose header is an array of numbers and byte strings. */
export function frameOf(
  kind: number,
  values: readonly (bigint | Buffer)[],
  payload = Buffer.alloc(0),
): Frame {
  const parts = values.map((value) => (typeof value === "bigint" ? number(value) : blob(value)));
  const header = Buffer.concat([head(Major.ARRAY, BigInt(values.length)), ...parts]);
  return { kind, header, payload };
}

function number(value: bigint, width?: number): Buffer {
  return value < 0n ? head(Major.NEGATIVE, -1n - value, width) : head(Major.UINT, value, width);
}

function blob(bytes: Buffer): Buffer {
  return Buffer.concat([head(Major.BYTES, BigInt(bytes.length)), bytes]);
}

function randomNumber(random: Random): Buffer {
  const value = random.chance(0.7) ? random.pick(NUMBERS) : BigInt(random.below(2 ** 32));
  const signed = random.chance(0.15) ? -value : value;
  return number(signed, random.chance(0.2) ? 8 : undefined);
}

/** Replaces one to three items of `bytes`, from the item `first` on, by others of their kind. */
function withOtherValues(bytes: Buffer, random: Random, first: number): Buffer {
  let result = bytes;
  for (let n = 1 + random.below(3); n > 0; n--) {
    const all = items(result);
    if (all.length <= first) return result;
    const item = all[first + random.below(all.length - first)];
    if (item === undefined) return result;
    const ours =
      item.major === Major.BYTES
        ? blob(
            random.chance(0.8) ? random.pick(NAMES) : Buffer.from(random.bytes(random.below(300))),
          )
        : item.major === Major.ARRAY && random.chance(0.9)
          ? result.subarray(item.start, item.end)
          : randomNumber(random);
    result = Buffer.concat([result.subarray(0, item.start), ours, result.subarray(item.end)]);
  }
  return result;
}

function withFlippedBits(bytes: Buffer, random: Random): Buffer {
  const result = Buffer.from(bytes);
  if (result.length === 0) return result;
  for (let n = 1 + random.below(8); n > 0; n--) {
    const at = random.below(result.length);
    result[at] = (result[at] as number) ^ (1 << random.below(8));
  }
  return result;
}

/** A payload of another length: none, less, more, or more than any frame may have. */
function withOtherLength(frame: Frame, random: Random): Buffer {
  const length = frame.payload.length;
  const other = random.pick([0, length >> 1, length + 1, length + 4096, 2 * length + 7, 300_000]);
  const payload = Buffer.alloc(other, random.below(256));
  frame.payload.copy(payload);
  return encode({ ...frame, payload });
}

/** Items of a reply's header before its results: the array's head, slot, sequence, errno. */
const RESULTS = 4;

/** Ways to spoil a reply; the first ones keep its form, so that it is looked at to its end. */
const SPOILERS: readonly ((frame: Frame, random: Random) => Buffer)[] = [
  (frame, random) => encode({ ...frame, header: withOtherValues(frame.header, random, RESULTS) }),
  (frame, random) => encode({ ...frame, header: withOtherValues(frame.header, random, RESULTS) }),
  (frame, random) => encode({ ...frame, payload: payloadValues(frame, random) }),
  (frame, random) => encode({ ...frame, payload: payloadValues(frame, random) }),
  (frame, random) => encode({ ...frame, payload: withFlippedBits(frame.payload, random) }),
  (frame, random) => withErrno(frame, random),
  (frame, random) => encode({ ...frame, header: withFlippedBits(frame.header, random) }),
  (frame, random) => encode({ ...frame, header: withOtherValues(frame.header, random, 1) }),
  withOtherLength,
  (frame, random) => withFlippedBits(encode(frame), random),
  (frame, random) => encode(frame, Number(random.pick(NUMBERS) & 0xff_ffffn)),
  (frame, random) => encode(frame, undefined, Number(random.pick(NUMBERS) & 0xffff_ffffn)),
  (frame, random) => encode({ ...frame, kind: random.below(256) }),
  (frame, random) => encode(frame).subarray(0, random.below(PREFIX_BYTES + frame.header.length)),
  (frame) => Buffer.concat([encode(frame), encode(frame)]),
  (_, random) => Buffer.from(random.bytes(1 + random.below(200))),
];
/** How many of the spoilers keep a reply's form. */
const GENTLE = 6;

function payloadValues(frame: Frame, random: Random): Buffer {
  try {
    return withOtherValues(frame.payload, random, 0);
  } catch {
    // It is no CBOR: a file's data.
    return withFlippedBits(frame.payload, random);
  }
}

/** The reply says that the call failed, with results or without. */
function withErrno(frame: Frame, random: Random): Buffer {
  const [array, slot, sequence, errno] = items(frame.header);
  if (!array || !slot || !sequence || !errno) return encode(frame);
  const value = random.chance(0.8) ? BigInt(1 + random.below(133)) : random.pick(NUMBERS);
  const kept = random.chance(0.2);
  const header = Buffer.concat([
    head(Major.ARRAY, kept ? array.value : 4n),
    frame.header.subarray(slot.start, errno.start),
    number(value),
    kept ? frame.header.subarray(errno.end) : Buffer.alloc(0),
  ]);
  return encode({ ...frame, header, payload: kept ? frame.payload : Buffer.alloc(0) });
}

/** A reply that is not what it should be; `gentle`: the share that keeps its form. */
export function spoil(frame: Frame, random: Random, gentle: number): Buffer {
  const spoiler = random.chance(gentle)
    ? SPOILERS[random.below(GENTLE)]
    : SPOILERS[GENTLE + random.below(SPOILERS.length - GENTLE)];
  return (spoiler as (typeof SPOILERS)[number])(frame, random);
}

/** An event that nobody asked for, of a form that is taken or not. */
export function unsolicited(random: Random): Buffer {
  const node = random.chance(0.5) ? BigInt(random.below(8)) : random.pick(NUMBERS);
  const frame = random.pick([
    () => frameOf(Kind.EVENT, [BigInt(Event.POLL_READY), node]),
    () => frameOf(Kind.EVENT, [BigInt(Event.CHANGED), node, BigInt(random.below(2)), 0n]),
    () => frameOf(Kind.EVENT, [BigInt(Event.RENAMED), node, random.pick(NAMES), 0n]),
    () => {
      const kinds = BigInt(random.below(600));
      const [name, toName] = [random.pick(NAMES), random.pick(NAMES)];
      return frameOf(Kind.EVENT, [BigInt(Event.HAPPENED), kinds, node, name, node, toName, node]);
    },
  ])();
  if (random.chance(0.95)) return encode(frame);
  return random.pick([
    () => encode(frameOf(Kind.EVENT, [random.pick(NUMBERS), node])),
    () => encode({ ...frame, header: withFlippedBits(frame.header, random) }),
    () => encode(frameOf(Kind.GOODBYE, [0n, random.pick(NAMES)])),
    () => encode(frameOf(Kind.REQUEST, [0n, 1n, 3n, 1n, 0n])),
    () => encode(frameOf(Kind.REPLY, [random.pick(NUMBERS), 1n, 0n])),
  ])();
}

/** Superblocks beside the first, of which packet sockets play the kernel's side. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { CHANNELS_MAX, channelOf, kernelHigh } from "../../src/fuse/channels.ts";
import { FuseDevice, UNMOUNTED } from "../../src/fuse/device.ts";
import {
  COPY_FILE_RANGE_IN,
  IN_HEADER_SIZE,
  Opcode,
  OUT_HEADER_SIZE,
  POLL_IN,
} from "../../src/fuse/protocol.ts";
import { read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { SOCK_SEQPACKET, socketPair } from "../../src/sys/socket.ts";
import { requestBytes } from "../client/requests.ts";
import { ok, okPair } from "../sys/support.ts";

const ROOTS = [
  [0x0102_0304, 77],
  [0xffff_ffff, 0xffff_fff0],
] as const;
const CHANNELS = [1, CHANNELS_MAX] as const;
const room = allocate(64 * 1024);

/** Kernel's and our ends: of the first superblock, then of the others. */
let kernels: number[] = [];
let ends: number[] = [];
let device: FuseDevice;

beforeEach(() => {
  const pairs = Array.from({ length: 3 }, () => okPair(socketPair(SOCK_SEQPACKET)));
  kernels = pairs.map(([kernel]) => kernel);
  ends = pairs.map(([, end]) => end);
  device = new FuseDevice(ends[0] as number);
  for (const [i, channel] of CHANNELS.entries()) {
    const [high, low] = ROOTS[i] as readonly [number, number];
    device.channels.open(channel, ends[i + 1] as number, high, low);
  }
});

afterEach(() => {
  for (const fd of [...kernels, ...ends, device.channels.fd]) if (fd >= 0) close(fd);
});

function ask(kernel: number, opcode: number, body: Buffer, unique: number, node = 1): void {
  const bytes = requestBytes(opcode, body, { unique, node: BigInt(node) });
  room.bytes.set(bytes);
  ok(write(kernels[kernel] as number, room.address, bytes.length));
}

/** The next message that a kernel was told: its unique number and its length. */
function told(kernel: number): [unique: bigint, length: number] | undefined {
  const got = read(kernels[kernel] as number, room.address, room.size);
  return got < 0 ? undefined : [room.view.getBigUint64(8, true), got];
}

const body = (length: number, at = 0, value = 0n) => {
  const bytes = Buffer.alloc(length);
  bytes.writeBigUInt64LE(value, at);
  return bytes;
};
const word = (at: number) => device.request.view.getUint32(IN_HEADER_SIZE + at, true);

test("requests of all come, each with its channel, and answers go where they came from", () => {
  for (const kernel of [0, 1, 2]) ask(kernel, Opcode.GETATTR, body(16), 42);
  const uniques = new Map<number, number>();
  for (let i = 0; i < 3; i++) {
    expect(device.next()).toBeGreaterThan(0);
    expect(device.uniqueLow).toBe(42);
    uniques.set(channelOf(device.uniqueHigh), device.uniqueHigh);
  }
  expect(device.next()).toBe(0);
  expect([...uniques.keys()].sort((a, b) => a - b)).toEqual([0, ...CHANNELS]);
  expect(new Set(uniques.values()).size).toBe(3);
  for (const [channel, high] of uniques) {
    expect(kernelHigh(high)).toBe(0);
    device.reply(42, high, 8);
    const kernel = [0, ...CHANNELS].indexOf(channel);
    expect(told(kernel)).toEqual([42n, OUT_HEADER_SIZE + 8]);
  }
  for (const kernel of [0, 1, 2]) expect(told(kernel)).toBeUndefined();
});

test("the root is the node that it was said to be, everywhere that a request may name it", () => {
  ask(0, Opcode.GETATTR, body(16), 2);
  device.next();
  expect([device.nodeHigh, device.nodeLow]).toEqual([0, 1]);
  const [high, low] = ROOTS[0];
  ask(1, Opcode.GETATTR, body(16), 2);
  device.next();
  expect([device.nodeHigh, device.nodeLow]).toEqual([high, low]);
  for (const [opcode, at] of [
    [Opcode.RENAME, 0],
    [Opcode.RENAME2, 0],
    [Opcode.COPY_FILE_RANGE, COPY_FILE_RANGE_IN.nodeid_out],
  ] as const) {
    ask(1, opcode, body(64, at, 1n), 4, 5);
    device.next();
    expect([device.nodeHigh, device.nodeLow]).toEqual([0, 5]);
    expect([word(at + 4), word(at)]).toEqual([high, low]);
  }
});

test("numbers in a body are as unique as those of requests", () => {
  ask(2, Opcode.INTERRUPT, body(8, 0, 6n), 7);
  device.next();
  expect(word(0)).toBe(6);
  expect(channelOf(word(4))).toBe(CHANNELS[1]);
  ask(2, Opcode.POLL, body(24, POLL_IN.kh, 9n), 8);
  device.next();
  expect(word(POLL_IN.kh)).toBe(9);
  expect(channelOf(word(POLL_IN.kh + 4))).toBe(CHANNELS[1]);
});

test("nobody waits for another who asks all the time", () => {
  for (let i = 0; i < 50; i++) ask(0, Opcode.GETATTR, body(16), 2 * i);
  for (const kernel of [1, 2]) ask(kernel, Opcode.GETATTR, body(16), 2);
  const seen: number[] = [];
  for (let i = 0; i < 30; i++) {
    device.next();
    seen.push(channelOf(device.uniqueHigh));
  }
  for (const channel of CHANNELS) expect(seen).toContain(channel);
});

test("a superblock that ends is named once, and the others go on", () => {
  close(kernels[1] as number);
  kernels[1] = -1;
  expect(device.next()).toBe(0);
  expect(device.channels.ended).toEqual([CHANNELS[0]]);
  expect(device.channels.fdOf(CHANNELS[0])).toBe(-1);
  ask(2, Opcode.GETATTR, body(16), 2);
  expect(device.next()).toBeGreaterThan(0);
  device.reply(2, CHANNELS[0] << 15, 0);
  expect(device.refused).toBe(0);
  close(kernels[0] as number);
  kernels[0] = -1;
  expect(device.next()).toBe(UNMOUNTED);
});

test("one that is paused is not read until it is opened again, and can be answered", () => {
  ask(1, Opcode.GETATTR, body(16), 2);
  device.channels.pause(CHANNELS[0]);
  expect(device.next()).toBe(0);
  device.replyErrno(2, CHANNELS[0] << 15, 5);
  expect(told(1)).toEqual([2n, OUT_HEADER_SIZE]);
  device.channels.open(CHANNELS[0], ends[1] as number, 8, 9);
  expect(device.next()).toBeGreaterThan(0);
  expect([device.nodeHigh, device.nodeLow]).toEqual([8, 9]);
});

test("a set for poll(2) that is readable when any of them is", () => {
  const polls = new PollSet(1);
  polls.add(device.channels.fd, POLLIN);
  expect(polls.wait(0)).toBe(0);
  ask(2, Opcode.GETATTR, body(16), 2);
  expect(polls.wait(0)).toBe(1);
});

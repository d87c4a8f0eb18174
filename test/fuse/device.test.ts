/** FuseDevice over a pair of packet sockets, which like /dev/fuse keep messages apart. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FuseDevice, TRANSFER_MAX, UNMOUNTED } from "../../src/fuse/device.ts";
import { IN_HEADER_SIZE, Notify } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { SOCK_SEQPACKET, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { ok, okPair } from "../sys/support.ts";

const BUFFER_BYTES = 4 * 1024 * 1024;
const room = allocate(2 * 1024 * 1024);

let kernel = -1;
let fd = -1;
let device: FuseDevice;

beforeEach(() => {
  [kernel, fd] = okPair(socketPair(SOCK_SEQPACKET));
  for (const end of [kernel, fd]) ok(setBuffers(end, BUFFER_BYTES));
  device = new FuseDevice(fd);
});

afterEach(() => {
  for (const end of [kernel, fd]) if (end >= 0) close(end);
});

/** Sends bytes as the kernel would. */
function ask(bytes: Uint8Array): void {
  room.bytes.set(bytes);
  expect(write(kernel, room.address, bytes.length)).toBe(bytes.length);
}

/** The next message that the device wrote, or -errno. */
function told(): Buffer | number {
  const got = read(kernel, room.address, room.size);
  return got < 0 ? got : Buffer.from(room.bytes.subarray(0, got));
}

/** Little-endian 32-bit words. */
function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, i * 4);
  return bytes;
}

/** struct fuse_in_header, every field of it different. */
function header(length: number): Buffer {
  const fields = [length, 15, 0xdead_beef, 0x1234_5678, 0x8765_4321, 0xcafe_f00d];
  return Buffer.concat([words(...fields, 1000, 1001, 4711), Buffer.from([3, 0, 0xff, 0xff])]);
}

describe("requests", () => {
  test("the header's fields, and the body behind it", () => {
    const body = Buffer.from("a body of some length");
    ask(Buffer.concat([header(IN_HEADER_SIZE + body.length), body]));
    expect(device.next()).toBe(IN_HEADER_SIZE + body.length);
    expect(device.length).toBe(IN_HEADER_SIZE + body.length);
    expect(device.opcode).toBe(15);
    expect([device.uniqueHigh, device.uniqueLow]).toEqual([0x1234_5678, 0xdead_beef]);
    expect([device.nodeHigh, device.nodeLow]).toEqual([0xcafe_f00d, 0x8765_4321]);
    expect([device.uid, device.gid, device.pid]).toEqual([1000, 1001, 4711]);
    // In units of eight bytes, and without the padding after it.
    expect(device.extensionBytes).toBe(24);
    const end = IN_HEADER_SIZE + body.length;
    expect(device.request.bytes.subarray(IN_HEADER_SIZE, end)).toEqual(body);
  });

  test("the largest one fits", () => {
    const bytes = Buffer.alloc(IN_HEADER_SIZE + 40 + TRANSFER_MAX, "x");
    bytes.set(header(bytes.length));
    ask(bytes);
    expect(device.next()).toBe(bytes.length);
    expect(device.request.bytes.subarray(0, bytes.length).equals(bytes)).toBe(true);
  });

  test("none now is 0, one too short or the end is UNMOUNTED", () => {
    expect(device.next()).toBe(0);
    ask(Buffer.alloc(IN_HEADER_SIZE - 1));
    expect(device.next()).toBe(UNMOUNTED);
    close(kernel);
    kernel = -1;
    expect(device.next()).toBe(UNMOUNTED);
  });

  test("other memory while the one is in use", () => {
    ask(Buffer.concat([header(41), Buffer.from("1")]));
    device.next();
    const first = device.request;
    device.request = allocate(first.size);
    ask(Buffer.concat([header(41), Buffer.from("2")]));
    device.next();
    expect(String.fromCharCode(device.request.bytes[40] as number)).toBe("2");
    expect(String.fromCharCode(first.bytes[40] as number)).toBe("1");
    device.request = first;
  });
});

describe("answers", () => {
  test("an errno, and success without a body", () => {
    device.replyErrno(7, 9, E.ENOENT);
    expect(told()).toEqual(words(16, -2, 7, 9));
    device.replyErrno(0xffff_ffff, 0x8000_0000, 0);
    expect(told()).toEqual(words(16, 0, 0xffff_ffff, 0x8000_0000));
  });

  test("a body built in place", () => {
    device.answer.bytes.write("built here", 16);
    device.reply(1, 2, 10);
    expect(told()).toEqual(Buffer.concat([words(26, 0, 1, 2), Buffer.from("built here")]));
  });

  test("data from elsewhere, and none", () => {
    const data = allocate(TRANSFER_MAX);
    data.bytes.fill("d");
    device.replyData(3, 4, data.address, TRANSFER_MAX);
    const large = told() as Buffer;
    expect(large.subarray(0, 16)).toEqual(words(16 + TRANSFER_MAX, 0, 3, 4));
    expect(large.subarray(16).equals(data.bytes)).toBe(true);
    device.replyData(3, 4, data.address, 0);
    expect(told()).toEqual(words(16, 0, 3, 4));
  });

  test("a notification, with data and without", () => {
    const name = allocate(8);
    name.bytes.write("name");
    device.notice.setUint32(0, 0xaaaa_aaaa, true);
    device.notice.setUint32(4, 0xbbbb_bbbb, true);
    expect(device.notify(Notify.POLL, 8, 0, 0)).toBe(24);
    expect(told()).toEqual(words(24, 1, 0, 0, 0xaaaa_aaaa, 0xbbbb_bbbb));
    expect(device.notify(Notify.INVAL_ENTRY, 8, name.address, 5)).toBe(29);
    const expected = words(29, 3, 0, 0, 0xaaaa_aaaa, 0xbbbb_bbbb);
    expect(told()).toEqual(Buffer.concat([expected, Buffer.from("name\0")]));
  });
});

describe("refusals", () => {
  test("are counted, but for callers and mounts that are gone", () => {
    for (const result of [16, -E.ENOENT, -E.ENODEV]) device.noteSent(result);
    expect(device.refused).toBe(0);
    device.noteSent(-E.EINVAL);
    expect(device.refused).toBe(1);
  });

  test("of each kind of answer", () => {
    close(fd);
    device.replyErrno(1, 0, 0);
    device.reply(1, 0, 0);
    device.replyData(1, 0, room.address, 10);
    expect(device.refused).toBe(3);
    // What becomes of a notification is the notifier's to know.
    expect(device.notify(Notify.POLL, 8, 0, 0)).toBe(-E.EBADF);
    expect(device.refused).toBe(3);
    fd = -1;
  });
});

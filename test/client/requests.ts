/** Bodies of the kernel's requests (linux/fuse.h), for the tests of the client. */
import {
  IN_HEADER,
  IN_HEADER_SIZE,
  Opcode,
  READ_IN,
  RELEASE_IN,
  WRITE_IN,
  WRITE_IN_SIZE,
} from "../../src/fuse/protocol.ts";
import type { Rig } from "./rig.ts";

export const MEBIBYTE = 1 << 20;

/** Who asks, and about what. */
export interface Asker {
  unique?: number;
  node?: number | bigint;
  pid?: number;
  uid?: number;
}

/** A whole request: its header and its body. */
export function requestBytes(opcode: number, body: Uint8Array, from: Asker = {}): Buffer {
  const { unique = 1, node = 1, pid = process.pid, uid = 0 } = from;
  const bytes = Buffer.alloc(IN_HEADER_SIZE + body.length);
  bytes.writeUInt32LE(bytes.length, IN_HEADER.len);
  bytes.writeUInt32LE(opcode, IN_HEADER.opcode);
  bytes.writeBigUInt64LE(BigInt(unique), IN_HEADER.unique);
  bytes.writeBigUInt64LE(BigInt(node), IN_HEADER.nodeid);
  bytes.writeUInt32LE(uid, IN_HEADER.uid);
  bytes.writeUInt32LE(pid, IN_HEADER.pid);
  bytes.set(body, IN_HEADER_SIZE);
  return bytes;
}

/** struct fuse_write_in and its data. */
export function write(handle: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(WRITE_IN_SIZE);
  head.writeUInt32LE(handle, WRITE_IN.fh);
  head.writeUInt32LE(data.length, WRITE_IN.size);
  return Buffer.concat([head, data]);
}

/** struct fuse_read_in, of READ and READDIR too. */
export function read(handle: number, offset: number, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeUInt32LE(handle, READ_IN.fh);
  body.writeBigUInt64LE(BigInt(offset), READ_IN.offset);
  body.writeUInt32LE(size, READ_IN.size);
  return body;
}

/** struct fuse_release_in. */
export function release(handle: number): Buffer {
  const body = Buffer.alloc(24);
  body.writeUInt32LE(handle, RELEASE_IN.fh);
  return body;
}

/** Has the client send more than the connection takes: the data that is on its way. */
export function congest(rig: Rig): Buffer {
  const data = Buffer.alloc(MEBIBYTE);
  for (let i = 0; i < data.length; i++) data[i] = (i * 7 + (i >> 9)) & 0xff;
  rig.request(Opcode.WRITE, write(1, data));
  return data;
}

/** What the programs at the ends of a bridge do with descriptors and credentials. */
import { readdirSync } from "node:fs";
import { allocate } from "../../src/sys/memory.ts";
import {
  type Beside,
  receivedCredentials,
  receivedFds,
  receivedFlags,
  receivedName,
  receiveMessage,
  sendMessage,
} from "../../src/sys/message.ts";

const room = allocate(1 << 20);

/** sendmsg(2): bytes taken or -errno. */
export function putMessage(
  fd: number,
  text: string | Uint8Array,
  beside: Beside,
  flags = 0,
): number {
  const bytes = Buffer.from(text as Uint8Array);
  room.bytes.set(bytes);
  return sendMessage(fd, room.address, bytes.length, beside, flags);
}

/** recvmsg(2): all that has come, or -errno in `n`. */
export function getMessage(fd: number, max = 1 << 20, flags = 0) {
  const n = receiveMessage(fd, room.address, max, flags);
  if (n < 0) return { n, text: "", fds: [], credentials: undefined, flags: 0, name: "" };
  return {
    n,
    text: room.bytes.latin1Slice(0, Math.min(n, max)),
    fds: receivedFds(),
    credentials: receivedCredentials(),
    flags: receivedFlags(),
    name: String(Buffer.from(receivedName())),
  };
}

/** Descriptors of this process. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

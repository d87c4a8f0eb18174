/** Unix sockets as the HOST's programs have them, moved by a Loop, for tests. */
import type { Loop, Watched } from "../../src/bridge/loop.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { EPOLLIN } from "../../src/sys/epoll.ts";
import { addr, i32, libc } from "../../src/sys/libc.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat } from "../../src/sys/open.ts";
import { SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "../../src/sys/sockaddr.ts";
import {
  accept,
  type PeerCredentials,
  peerCredentials,
  recv,
  SHUT_WR,
  send,
  shutdown,
} from "../../src/sys/socket.ts";
import { bindIn, connectTo, listenAt, unixSocket } from "../../src/sys/unixsocket.ts";
import { SocketType } from "../../src/wire/streams.ts";

const c = libc({ getpeername: { args: [i32, addr, addr], returns: i32 } });
const ROOM = 256 * 1024;
const room = allocate(ROOM);

function opened(path: string): number {
  const fd = openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) throw new Error(`open of ${path}: errno ${-fd}`);
  return fd;
}

/** A socket that listens at `name` in `directory`; `backlog` as for listen(2). */
export function listening(
  directory: string,
  name: string,
  type: number = SocketType.STREAM,
  backlog = 128,
): number {
  const fd = unixSocket(type);
  const dirfd = opened(directory);
  const bound = bindIn(fd, dirfd, name);
  close(dirfd);
  if (bound < 0) throw new Error(`bind of ${name}: errno ${-bound}`);
  if (type !== SocketType.DGRAM) listenAt(fd, backlog);
  return fd;
}

/** A socket connected to `path`, or -errno. */
export function connected(path: string, type: number = SocketType.STREAM): number {
  const target = opened(path);
  const fd = unixSocket(type);
  const result = connectTo(fd, target);
  close(target);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** What the socket `fd` is connected to calls itself. */
export function peerName(fd: number): string {
  const address = allocate(SOCKADDR_UN_STRUCT_SIZE + 8);
  address.view.setUint32(SOCKADDR_UN_STRUCT_SIZE + 2, SOCKADDR_UN_STRUCT_SIZE, true);
  const result = c.getpeername(fd, address.address, address.address + SOCKADDR_UN_STRUCT_SIZE + 2);
  if (result !== 0) throw new Error("getpeername has failed");
  const length = address.view.getUint32(SOCKADDR_UN_STRUCT_SIZE + 2, true);
  return address.bytes.toString("utf8", SOCKADDR_UN.path, length).replace(/\0.*$/s, "");
}

/** One connection: all that was said to it, and what it says. */
export class Talker implements Watched {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #parts: Buffer[] = [];
  /** Whether it sends back what it hears. */
  readonly #echoes: boolean;
  ended = false;
  /** errno of reading; 0 while there is none. */
  errno = 0;

  constructor(loop: Loop, fd: number, echoes = false) {
    this.#loop = loop;
    this.fd = fd;
    this.#echoes = echoes;
    loop.add(fd, EPOLLIN, this);
  }

  get heard(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get credentials(): PeerCredentials {
    const who = peerCredentials(this.fd);
    if (typeof who === "number") throw new Error(`SO_PEERCRED: errno ${-who}`);
    return who;
  }

  onEvents(): void {
    const got = recv(this.fd, room.address, ROOM);
    if (got > 0) {
      this.#parts.push(Buffer.from(room.bytes.subarray(0, got)));
      if (this.#echoes) this.#send(got);
      return;
    }
    if (got === 0) {
      this.ended = true;
      if (this.#echoes) shutdown(this.fd, SHUT_WR);
    } else this.errno = -got;
    this.#loop.remove(this.fd);
  }

  say(text: string): void {
    const length = room.bytes.write(text);
    this.#send(length);
  }

  end(): void {
    shutdown(this.fd, SHUT_WR);
  }

  close(): void {
    this.#loop.remove(this.fd);
    close(this.fd);
  }

  #send(length: number): void {
    const sent = send(this.fd, room.address, length, 0);
    if (sent !== length) throw new Error(`sent ${sent} of ${length}`);
  }
}

/** Accepts whoever connects to `fd`, and echoes what they say. */
export class Echo implements Watched {
  readonly talkers: Talker[] = [];
  readonly #loop: Loop;
  readonly fd: number;
  readonly #echoes: boolean;

  constructor(loop: Loop, fd: number, echoes = true) {
    this.#loop = loop;
    this.fd = fd;
    this.#echoes = echoes;
    loop.add(fd, EPOLLIN, this);
  }

  onEvents(): void {
    const fd = accept(this.fd);
    if (fd >= 0) this.talkers.push(new Talker(this.#loop, fd, this.#echoes));
  }

  close(): void {
    for (const talker of this.talkers) talker.close();
    this.#loop.remove(this.fd);
    close(this.fd);
  }
}

/** Turns `loop` until `done`; throws when that takes too long. */
export function turnUntil(loop: Loop, done: () => boolean, what: string): void {
  const deadline = performance.now() + 20_000;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`It never happened that ${what}`);
    loop.turn(20);
  }
}

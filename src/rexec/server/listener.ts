/**
 * A stream socket of the program's that listens, in place of the client's: what connects to
 * that one is connected to this.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { StreamHandler } from "../../session/stream.ts";
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat, setNonBlocking } from "../../sys/open.ts";
import { beginConnect, boundPort, listenTcp, SOCK_STREAM } from "../../sys/socket.ts";
import { bindPath, connectTo, listenAt, SOMAXCONN, unixSocket } from "../../sys/unixsocket.ts";
import { ProtocolError } from "../../wire/error.ts";
import { ProgramEnd } from "../../wire/streams.ts";

/** Where one of a family that the kernel must give a port listens: nobody from outside gets there. */
const LOOPBACK: Readonly<Record<number, string>> = {
  [ProgramEnd.LISTENER_INET]: "127.0.0.1",
  [ProgramEnd.LISTENER_INET6]: "::1",
};

/** Whether ends of `kind` listen. */
export function isListener(kind: number): boolean {
  return kind === ProgramEnd.LISTENER_UNIX || kind in LOOPBACK;
}

export class ProgramListener implements StreamHandler {
  /** The socket itself, which is the program's. */
  readonly fd: number;
  /** How it is reached: a descriptor of the socket's file that nobody else can find, or a port. */
  readonly #target: number;
  readonly #host: string | undefined;
  #isClosed = false;

  private constructor(fd: number, target: number, host: string | undefined) {
    this.fd = fd;
    this.#target = target;
    this.#host = host;
  }

  /** Makes one of ProgramEnd `kind`, or -errno. */
  static make(kind: number): ProgramListener | number {
    const host = LOOPBACK[kind];
    if (host === undefined) return makeUnix((fd, target) => new ProgramListener(fd, target, host));
    const fd = listenTcp(host, 0, SOMAXCONN);
    if (fd < 0) return fd;
    // Whether it waits is the program's choice.
    setNonBlocking(fd, false);
    return new ProgramListener(fd, boundPort(fd), host);
  }

  /** A connection to it, or -errno. */
  connect(): number {
    if (this.#isClosed) return -E.ECONNREFUSED;
    if (this.#host !== undefined) return beginConnect(this.#host, this.#target);
    const fd = unixSocket(SOCK_STREAM);
    if (fd < 0) return fd;
    const result = connectTo(fd, this.#target);
    if (result === 0) return fd;
    close(fd);
    return result;
  }

  /** Nothing more is connected to it. */
  close(): void {
    if (!this.#isClosed && this.#host === undefined) close(this.#target);
    this.#isClosed = true;
  }

  onData(): void {
    throw new ProtocolError("data for a listener");
  }

  onEof(): void {}

  onReset(): void {}

  onOutOfBand(): void {
    throw new ProtocolError("a message to a listener");
  }

  onWritable(): void {}

  onClosed(): void {}
}

function makeUnix<T>(made: (fd: number, target: number) => T): T | number {
  const fd = unixSocket(SOCK_STREAM);
  if (fd < 0) return fd;
  const directory = mkdtempSync(`${tmpdir()}/qtfs-rexec-`);
  const path = `${directory}/listener`;
  try {
    let result = bindPath(fd, path);
    if (result === 0) result = listenAt(fd, SOMAXCONN);
    if (result === 0) result = openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC, 0);
    if (result < 0) {
      close(fd);
      return result;
    }
    setNonBlocking(fd, false);
    return made(fd, result);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

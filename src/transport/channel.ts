/**
 * Bytes over a connection, without waiting: what a SocketTransport needs below its frames.
 * Counts, or -errno as the system calls have them (-EAGAIN: not now).
 */
import { IoVec, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, sendfile, splice, writev } from "../sys/io.ts";
import { allocate, type Region } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { MSG_MORE, recv, send, unsentBytes } from "../sys/socket.ts";

export interface Channel {
  readonly fd: number;
  /** Whether what is received lies in the socket as it was sent: splice(2) can take it. */
  readonly isPlain: boolean;
  /** Bytes taken that have not gone to the socket: `flush` sends them. */
  readonly held: number;
  /** Whether `receive` may have something of which poll(2) does not tell. */
  readonly hasHeld: boolean;
  /** Why the connection could not be had or had to end, for people. */
  readonly failure: string | undefined;
  /** Takes up to `room` bytes to `address`; 0 at the end. */
  receive(address: number, room: number): number;
  send(address: number, length: number): number;
  /** Sends what lies at two places, the one behind the other. */
  sendBoth(first: number, firstLength: number, second: number, secondLength: number): number;
  /** Sends bytes that more follow at once. */
  sendMore(address: number, length: number): number;
  /** Sends `length` bytes of a file; 0 where it has none there. */
  sendFile(fd: number, offset: number, length: number): number;
  /** Sends at most `length` bytes of a pipe, as references to its pages; there where `isPlain`. */
  sendPipe?(fd: number, length: number): number;
  /** Sends what is held; 0 once all has gone. */
  flush(): number;
  /** Bytes sent that the peer's machine has not taken yet. */
  untaken(): number;
  close(): void;
}

/** One gather list for all connections of a thread: it is filled anew for each call. */
let iov: IoVec | undefined;

/** A socket as it is. */
export class PlainChannel implements Channel {
  readonly isPlain = true;
  readonly held = 0;
  readonly hasHeld = false;
  readonly failure = undefined;
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  receive(address: number, room: number): number {
    return recv(this.fd, address, room);
  }

  send(address: number, length: number): number {
    return send(this.fd, address, length, 0);
  }

  sendBoth(first: number, firstLength: number, second: number, secondLength: number): number {
    iov ??= new IoVec(2);
    iov.set(0, first, firstLength);
    iov.set(1, second, secondLength);
    return writev(this.fd, iov.address, 2);
  }

  sendMore(address: number, length: number): number {
    return send(this.fd, address, length, MSG_MORE);
  }

  sendFile(fd: number, offset: number, length: number): number {
    return sendfile(this.fd, fd, offset, length);
  }

  sendPipe(fd: number, length: number): number {
    return splice(fd, this.fd, length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  }

  flush(): number {
    return 0;
  }

  untaken(): number {
    return unsentBytes(this.fd);
  }

  close(): void {
    close(this.fd);
  }
}

const FILE_BYTES = 64 * 1024;
let file: Region | undefined;

/** Room for a part of a file, one for all connections of a thread. */
export function fileRoom(): Region {
  file ??= allocate(FILE_BYTES);
  return file;
}

/** Bytes over a lane of a link over PCIe (ffi/qtdma.h): memory that both sides have mapped. */
import { E } from "../sys/errno.ts";
import {
  closeLane,
  leaveLane,
  receiveLane,
  sendFileLane,
  sendLane,
  takeLane,
  unsentLane,
} from "../sys/qtdma.ts";
import type { Channel } from "./channel.ts";

/** What is sent is copied from where it lies to the link, and from there to the peer's memory. */
export class LaneChannel implements Channel {
  readonly isPlain = false;
  readonly held = 0;
  readonly hasHeld = false;
  readonly failure = undefined;
  readonly fd: number;

  /** `fd`: a connection of the link, which this thread uses from now on. */
  constructor(fd: number) {
    this.fd = fd;
    takeLane(fd);
  }

  receive(address: number, room: number): number {
    return receiveLane(this.fd, address, room);
  }

  send(address: number, length: number): number {
    return sendLane(this.fd, address, length, 0, 0);
  }

  sendBoth(first: number, firstLength: number, second: number, secondLength: number): number {
    return sendLane(this.fd, first, firstLength, second, secondLength);
  }

  sendMore(address: number, length: number): number {
    return sendLane(this.fd, address, length, 0, 0);
  }

  sendFile(fd: number, offset: number, length: number): number {
    const sent = sendFileLane(this.fd, fd, offset, length);
    // An error of the connection is not the file's.
    return sent === -E.EPROTO ? -E.EPIPE : sent;
  }

  flush(): number {
    return 0;
  }

  untaken(): number {
    return unsentLane(this.fd);
  }

  /** Another thread uses it from now on. */
  leave(): void {
    leaveLane(this.fd);
  }

  close(): void {
    leaveLane(this.fd);
    closeLane(this.fd);
  }
}

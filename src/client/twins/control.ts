/**
 * The twin process's control socket, `/run/qtfs/control/twins-PID.sock`: what `qtfs info`
 * asks beside the mount's own (info/control.ts), in the same frames.
 */
import { mkdirSync, rmSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { CONTROL_DIRECTORY } from "../../info/control.ts";
import { encodeFrame, FrameReader, type Request } from "../../info/frames.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { accept, listenUnix, recv, send } from "../../sys/socket.ts";
import { Kind } from "../../wire/frame.ts";
import type { TwinsReport } from "./report.ts";

/** Connections at once, and how long one may stay. */
const CONNECTIONS_MAX = 16;
const CONNECTION_MS = 10_000;
const BACKLOG = 16;
const OWNER_ALONE = 0o600;

const room = allocate(64 * 1024);

export class TwinsControl {
  readonly #loop: Loop;
  readonly #report: () => TwinsReport;
  readonly #path: string;
  readonly #fd: number;
  #connections = 0;

  /** Without a place for it nobody can ask. */
  constructor(loop: Loop, report: () => TwinsReport, directory = CONTROL_DIRECTORY) {
    this.#loop = loop;
    this.#report = report;
    this.#path = `${directory}/twins-${process.pid}.sock`;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // A process that had this pid and was killed left it.
    rmSync(this.#path, { force: true });
    this.#fd = listenUnix(this.#path, OWNER_ALONE, BACKLOG);
    if (this.#fd >= 0) loop.add(this.#fd, EPOLLIN, { onEvents: () => this.#accept() });
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#loop.remove(this.#fd);
    close(this.#fd);
    rmSync(this.#path, { force: true });
  }

  #accept(): void {
    for (let fd = accept(this.#fd); fd >= 0; fd = accept(this.#fd)) {
      if (this.#connections >= CONNECTIONS_MAX) close(fd);
      else this.#serve(fd);
    }
  }

  #serve(fd: number): void {
    this.#connections++;
    const reader = new FrameReader(Kind.REQUEST);
    let unsent = Buffer.alloc(0);
    const end = () => {
      cancel();
      this.#connections--;
      this.#loop.remove(fd);
      close(fd);
    };
    const cancel = this.#loop.after(CONNECTION_MS, end);
    const turn = () => {
      const got = recv(fd, room.address, room.size);
      if (got > 0) unsent = Buffer.concat([unsent, ...this.#answers(reader, got)]);
      if (got === 0 || (got < 0 && got !== -E.EAGAIN)) throw new Error("it has hung up");
      unsent = unsent.subarray(this.#send(fd, unsent));
      this.#loop.modify(fd, unsent.length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    };
    const onEvents = () => {
      try {
        turn();
      } catch {
        end();
      }
    };
    this.#loop.add(fd, EPOLLIN, { onEvents });
  }

  #answers(reader: FrameReader, length: number): Buffer[] {
    return reader.add(room.bytes.subarray(0, length)).map((request) => {
      if ((request as Partial<Request>).want !== "snapshot") throw new Error("unknown request");
      return encodeFrame(Kind.REPLY, this.#report());
    });
  }

  /** How much of `bytes` was taken. */
  #send(fd: number, bytes: Buffer): number {
    let sent = 0;
    while (sent < bytes.length) {
      const part = bytes.subarray(sent, sent + room.size);
      room.bytes.set(part);
      const took = send(fd, room.address, part.length, 0);
      if (took === -E.EAGAIN) break;
      if (took < 0) throw new Error("it has hung up");
      sent += took;
    }
    return sent;
  }
}

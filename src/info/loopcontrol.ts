/**
 * A control socket, `/run/qtfs/control/NAME-PID.sock`, of a process that serves a Loop and
 * not the runtime's events: what `qtfs info` asks beside a daemon's own (control.ts), in the
 * same frames.
 */
import { mkdirSync, rmSync } from "node:fs";
import type { Loop } from "../bridge/loop.ts";
import { EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { accept, listenUnix, recv, send } from "../sys/socket.ts";
import { Kind } from "../wire/frame.ts";
import { CONTROL_DIRECTORY } from "./control.ts";
import { encodeFrame, FrameReader, type Request } from "./frames.ts";

/** Connections at once, and how long one may stay. */
const CONNECTIONS_MAX = 16;
const CONNECTION_MS = 10_000;
const BACKLOG = 16;
const OWNER_ALONE = 0o600;

const room = allocate(64 * 1024);

export class LoopControl {
  readonly #loop: Loop;
  readonly #answer: (request: Partial<Request>) => object;
  readonly #path: string;
  #fd = -1;
  #connections = 0;

  /**
   * `answer` answers a request, or throws where there is no such. Without a place for the
   * socket nobody can ask.
   */
  constructor(
    loop: Loop,
    name: string,
    answer: (request: Partial<Request>) => object,
    directory = CONTROL_DIRECTORY,
  ) {
    this.#loop = loop;
    this.#answer = answer;
    this.#path = `${directory}/${name}-${process.pid}.sock`;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      // A process that had this pid and was killed left it.
      rmSync(this.#path, { force: true });
    } catch {
      return;
    }
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
    return reader
      .add(room.bytes.subarray(0, length))
      .map((request) => encodeFrame(Kind.REPLY, this.#answer(request as Partial<Request>)));
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

/** A socket of ours that listens and that the program has, too: who connects to it is connected there. */
import type { Loop, Watched } from "../../bridge/loop.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { accept } from "../../sys/socket.ts";
import { ProtocolError } from "../../wire/error.ts";

/** How long to wait where there is no descriptor, memory or stream for a connection. */
const PAUSE_MS = 50;

export interface OwnListenerOptions {
  readonly loop: Loop;
  /** Owned from now on; does not wait. */
  readonly fd: number;
  /** Opens a stream to the program's listener: undefined where there is no room for one. */
  readonly open: (handler: StreamHandler) => Stream | undefined;
}

export class OwnListener implements StreamHandler, Watched {
  readonly #options: OwnListenerOptions;
  /** Accepted, and waits for a stream; or -1. */
  #waiting = -1;
  #isOver = false;

  constructor(options: OwnListenerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.loop.add(this.#options.fd, EPOLLIN, this);
  }

  onEvents(): void {
    const fd = this.#waiting >= 0 ? this.#waiting : accept(this.#options.fd);
    if (fd === -E.EAGAIN || fd === -E.ECONNABORTED) return;
    if (fd < 0 || !this.#join(fd)) this.#pause();
  }

  #join(fd: number): boolean {
    const { loop, open } = this.#options;
    const pump = new BytePump({ loop, fd, shape: Shape.SOCKET });
    const stream = open(pump);
    this.#waiting = stream === undefined ? fd : -1;
    if (stream !== undefined) pump.start(stream);
    return stream !== undefined;
  }

  #pause(): void {
    const { loop, fd } = this.#options;
    loop.modify(fd, 0);
    loop.after(PAUSE_MS, () => {
      if (this.#isOver) return;
      loop.modify(fd, EPOLLIN);
      if (this.#waiting >= 0) this.onEvents();
    });
  }

  /** There is no such listener any more. */
  onReset(): void {
    if (!this.#isOver) this.#options.loop.remove(this.#options.fd);
    this.#isOver = true;
  }

  onData(): void {
    throw new ProtocolError("data of a listener");
  }

  onEof(): void {}

  onOutOfBand(): void {
    throw new ProtocolError("a message of a listener");
  }

  onWritable(): void {}

  onClosed(): void {}
}

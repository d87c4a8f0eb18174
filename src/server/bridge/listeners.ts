/**
 * Sockets that were bound here for programs of the DPU: who connects to one on the HOST is
 * joined to a stream that the server opens (INCOMING). Without a session of the DPU's, or
 * without room for a stream, connections wait in the kernel's queue, as for a busy program.
 */
import type { Loop, Watched } from "../../bridge/loop.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { accept, peerCredentials } from "../../sys/socket.ts";
import { StreamKind } from "../../wire/streams.ts";
import { type Pump, pumpFor } from "./joining.ts";
import type { Twin } from "./keys.ts";
import type { BridgeSession } from "./session.ts";

/** Connections taken in a row, before others have their turn. */
const ACCEPTS_MAX = 32;
/** How long until a stream that could not be opened is tried again. */
const RETRY_MS = 10;

/** One listener, served while it has a session. */
export class ListenerTwin implements Watched {
  readonly #loop: Loop;
  readonly #twin: Twin;
  #session: BridgeSession | undefined;
  #isWatched = false;
  /** A connection for which there is no stream yet. */
  #held: { fd: number; pump: Pump; description: readonly unknown[] } | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(loop: Loop, twin: Twin) {
    this.#loop = loop;
    this.#twin = twin;
  }

  /** Goes on with `session`, or waits for one. */
  serve(session: BridgeSession | undefined): void {
    this.#session = session;
    this.#settle();
  }

  /** Ends: whoever waits in its queue is refused by the kernel. */
  close(): void {
    this.#session = undefined;
    this.#settle();
    if (this.#held !== undefined) close(this.#held.fd);
    this.#held = undefined;
    this.#cancelRetry?.();
  }

  onEvents(): void {
    for (let i = 0; i < ACCEPTS_MAX && this.#held === undefined; i++) {
      const fd = accept(this.#twin.fd);
      if (fd < 0) break;
      this.#begin(fd);
    }
    this.#settle();
  }

  #begin(fd: number): void {
    const { key, type } = this.#twin;
    const who = peerCredentials(fd);
    const { uid, gid, pid } = typeof who === "number" ? { uid: 0, gid: 0, pid: 0 } : who;
    const description = [key, type, uid, gid, pid];
    this.#held = { fd, pump: pumpFor(this.#loop, fd, type), description };
    this.#open();
  }

  /** Opens a stream for the connection that is held, now or later. */
  #open(): void {
    if (this.#held === undefined || this.#session === undefined) return;
    const { pump, description } = this.#held;
    const stream = this.#session.end.open(StreamKind.INCOMING, description, pump);
    if (stream === undefined) {
      this.#cancelRetry = this.#loop.after(RETRY_MS, () => {
        this.#cancelRetry = undefined;
        this.#open();
        this.#settle();
      });
      return;
    }
    this.#held = undefined;
    pump.start(stream);
  }

  /** Waits for connections if they can be served. */
  #settle(): void {
    // Without a connection the stream might never be heard of: the kernel's queue is the better place.
    const wants = this.#session?.end.connected === true && this.#held === undefined;
    if (wants && !this.#isWatched)
      this.#isWatched = this.#loop.add(this.#twin.fd, EPOLLIN, this) === 0;
    if (!wants && this.#isWatched) {
      this.#loop.remove(this.#twin.fd);
      this.#isWatched = false;
    }
    if (
      this.#session !== undefined &&
      this.#held !== undefined &&
      this.#cancelRetry === undefined
    ) {
      this.#open();
      if (this.#held === undefined) this.#settle();
    }
  }
}

/**
 * Sockets that were bound here for programs of the DPU: who connects to one on the HOST is
 * joined to a stream that the server opens (INCOMING). Without a session of the DPU's, or
 * without room for a stream, connections wait in the kernel's queue, as for a busy program.
 */
import { DatagramFan, type Sender } from "../../bridge/datagrams.ts";
import type { Loop, Watched } from "../../bridge/loop.ts";
import { type DatagramPlaces, pathOfName } from "../../bridge/names.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { accept, peerCredentials } from "../../sys/socket.ts";
import { boundPath } from "../../sys/unixsocket.ts";
import { SocketType, StreamKind } from "../../wire/streams.ts";
import type { Twin } from "./keys.ts";
import { What } from "./messages.ts";
import type { BridgeSession } from "./session.ts";

/** Connections taken in a row, before others have their turn. */
const ACCEPTS_MAX = 32;
/** How long until a stream that could not be opened is tried again. */
const RETRY_MS = 10;

/** What a stream for somebody who has connected is. */
function kindFor({ what }: Twin): number {
  return what === What.NAMED_LISTENER ? StreamKind.INCOMING_NAMED : StreamKind.INCOMING;
}

/** One listener, served while it has a session. */
export interface ListenerTwin {
  /** Goes on with `session`, or waits for one. */
  serve(session: BridgeSession | undefined): void;
  /** Ends: whoever waits in its queue is refused by the kernel. */
  close(): void;
}

/** The listener that `twin` is; `log` is told what is lost there. */
export function listenerFor(
  loop: Loop,
  twin: Twin,
  places: DatagramPlaces,
  log: (text: string) => void,
): ListenerTwin {
  return twin.type === SocketType.DGRAM
    ? new DatagramListener(loop, twin, places, log)
    : new ConnectionListener(loop, twin);
}

/** A socket of datagrams: each sender is a stream. */
class DatagramListener implements ListenerTwin {
  readonly #fan: DatagramFan;
  #session: BridgeSession | undefined;

  readonly #leave: () => void;

  constructor(loop: Loop, twin: Twin, places: DatagramPlaces, log: (text: string) => void) {
    const { fd, key, owner, type } = twin;
    const path = boundPath(fd);
    const own = Buffer.from(path, "latin1");
    const join = ({ credentials: { uid, gid, pid }, name }: Sender, far: number): boolean => {
      const session = this.#session;
      const pump = session?.pumpFor(far, SocketType.SEQPACKET, `pid ${pid}, uid ${uid}`);
      if (session === undefined || pump === undefined) return false;
      const from = Buffer.from(pathOfName(name), "latin1");
      const description = [key, type, uid, gid, pid, from, own];
      const stream = session.end.open(kindFor(twin), description, pump);
      if (stream !== undefined) pump.start(stream);
      return stream !== undefined;
    };
    const fan = new DatagramFan({ loop, fd, join, log });
    this.#fan = fan;
    places.add(owner, path, fan);
    this.#leave = () => places.remove(owner, path, fan);
  }

  serve(session: BridgeSession | undefined): void {
    this.#session = session;
    this.#fan.serve(session?.end.connected === true);
  }

  close(): void {
    this.#leave();
    this.#fan.close();
  }
}

/** A socket that is connected to. */
class ConnectionListener implements ListenerTwin, Watched {
  readonly #loop: Loop;
  readonly #twin: Twin;
  #session: BridgeSession | undefined;
  #isWatched = false;
  /** A connection for which there is no stream yet. */
  #held: { fd: number; peer: string; description: readonly unknown[] } | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(loop: Loop, twin: Twin) {
    this.#loop = loop;
    this.#twin = twin;
  }

  serve(session: BridgeSession | undefined): void {
    this.#session = session;
    this.#settle();
  }

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
    this.#held = { fd, peer: `pid ${pid}, uid ${uid}`, description };
    this.#open();
  }

  /** Opens a stream for the connection that is held, now or later. */
  #open(): void {
    if (this.#held === undefined || this.#session === undefined) return;
    const { fd, peer, description } = this.#held;
    const pump = this.#session.pumpFor(fd, this.#twin.type, peer);
    const stream = this.#session.end.open(kindFor(this.#twin), description, pump);
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

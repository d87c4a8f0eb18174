/** A connection in a Loop whose client has not said HELLO yet. */
import type { Loop, Watched } from "../../bridge/loop.ts";
import { Greeter } from "../../server/greeting.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { PlainChannel } from "../../transport/channel.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import { ProtocolError } from "../../wire/error.ts";
import { GREETING_TIMEOUT_MS } from "../../wire/limits.ts";

/** What may come of it; but for `gone`, the connection is the caller's then. */
export interface NewcomerEvents {
  said(hello: Uint8Array): void;
  failed(error: unknown): void;
  gone(): void;
}

export class Newcomer implements Watched {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly peer: PeerIdentity;
  readonly #greeter: Greeter;
  readonly #events: NewcomerEvents;
  readonly #cancel: () => void;

  constructor(loop: Loop, fd: number, peer: PeerIdentity, events: NewcomerEvents) {
    this.#loop = loop;
    this.#fd = fd;
    this.peer = peer;
    this.#greeter = new Greeter(new PlainChannel(fd), peer);
    this.#events = events;
    this.#cancel = loop.after(GREETING_TIMEOUT_MS, () => {
      this.#leave();
      events.failed(new ProtocolError("no HELLO in time"));
    });
    loop.add(fd, EPOLLIN, this);
  }

  onEvents(): void {
    let hello: Uint8Array | undefined;
    try {
      hello = this.#greeter.receive();
    } catch (error) {
      this.#leave();
      this.#events.failed(error);
      return;
    }
    if (hello !== undefined) {
      this.#leave();
      this.#events.said(hello);
    } else if (this.#greeter.gone) {
      this.#leave();
      close(this.#fd);
      this.#events.gone();
    }
  }

  #leave(): void {
    this.#cancel();
    this.#loop.remove(this.#fd);
  }
}

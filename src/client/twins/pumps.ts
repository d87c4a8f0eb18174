/** Joins connected sockets to streams, each as its type wants it. */
import type { BridgeEnd } from "../../bridge/end.ts";
import type { Loop } from "../../bridge/loop.ts";
import type { PumpFigures } from "../../bridge/pumpbytes.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import { MessagePump } from "../../bridge/pumpmessages.ts";
import { Rights } from "../../bridge/rights/rights.ts";
import type { ShareFiles } from "../../bridge/rights/share.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { SOCK_STREAM } from "../../sys/socket.ts";
import { StreamKind } from "../../wire/streams.ts";

export interface Pump extends StreamHandler {
  start(stream: Stream): void;
  close(errno: number): void;
  readonly isClosed: boolean;
  readonly figures: PumpFigures;
}

export interface PumpWish {
  fd: number;
  /** SOCK_* */
  type: number;
  /** Who is at the other end of the socket, for people. */
  peer: string;
  ended: () => void;
}

export class Pumps {
  readonly #loop: Loop;
  readonly #rights: Rights;

  constructor(loop: Loop, end: BridgeEnd, share: ShareFiles, log: (text: string) => void) {
    this.#loop = loop;
    this.#rights = new Rights({ loop, opener: end, share, log });
    end.handle(StreamKind.DESCRIPTOR, this.#rights.take);
  }

  /** A pump that owns the socket. */
  make({ fd, type, peer, ended }: PumpWish): Pump {
    const common = { loop: this.#loop, fd, peer, ended, ancillary: this.#rights.carrier(peer) };
    if (type === SOCK_STREAM) return new BytePump({ ...common, shape: Shape.SOCKET });
    return new MessagePump({ ...common, type });
  }

  /** The session is lost: what was passed and not given to anybody is closed. */
  lost(): void {
    this.#rights.close();
  }
}

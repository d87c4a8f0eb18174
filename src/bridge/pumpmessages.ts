/**
 * Joins a socket that keeps messages apart, SEQPACKET or connected DGRAM, to a stream:
 * each message crosses whole, also one without bytes, up to MESSAGE_MAX. Ends cross as those
 * of byte pumps do (pumpbytes.ts); a DGRAM socket has no end that could be seen.
 */
import { SHUT_RD, SHUT_WR, SOCK_DGRAM, setBuffers, shutdown } from "../sys/socket.ts";
import { MESSAGE_MAX } from "../wire/limits.ts";
import { MessageSink } from "./messagesink.ts";
import { MessageSource } from "./messagesource.ts";
import { type CommonOptions, Pump } from "./pump.ts";

export interface MessagePumpOptions extends CommonOptions {
  readonly fd: number;
  /** SOCK_SEQPACKET or SOCK_DGRAM. */
  readonly type: number;
  /** Other processes have it, too, and go on with it when the pump has ended. */
  readonly isShared?: boolean;
}

export class MessagePump extends Pump {
  protected readonly source: MessageSource;
  protected readonly sink: MessageSink;
  protected readonly pieceBytes = [0, MESSAGE_MAX + 4] as const;
  /** Nor will a socket without connections send anything once its peer is gone. */
  protected readonly halfCloses: boolean;
  readonly #isShared: boolean;

  constructor(options: MessagePumpOptions) {
    const { fd, type } = options;
    super(fd, options);
    this.#isShared = options.isShared === true;
    this.halfCloses = type !== SOCK_DGRAM;
    this.source = new MessageSource(fd, type, this.ancillary, () => this.goOn());
    const release = (one: number) => this.ancillary.release(one);
    this.sink = new MessageSink(fd, release, () => {
      if (!this.#isShared) shutdown(fd, SHUT_WR);
    });
    // So that the socket takes the largest message (socket(7): the kernel doubles it).
    setBuffers(fd, MESSAGE_MAX);
  }

  protected shutReading(): void {
    if (!this.#isShared) shutdown(this.fd, SHUT_RD);
  }

  protected took(): boolean {
    return false;
  }
}

/** Streams to FIFOs of the HOST, which clients open (StreamKind.FIFO). */
import type { Taker } from "../../../bridge/end.ts";
import { identityOf } from "../../../bridge/holders.ts";
import type { Loop } from "../../../bridge/loop.ts";
import { E } from "../../../sys/errno.ts";
import { close, dup } from "../../../sys/open.ts";
import { ProtocolError } from "../../../wire/error.ts";
import { Comers } from "./comers.ts";
import { FifoEnd } from "./end.ts";
import { Partners } from "./partners.ts";

/** What is known of one, for info. */
export interface FifoFigures {
  readonly key: number;
  readonly mode: string;
  readonly received: number;
  readonly sent: number;
}

export class HostFifos {
  readonly #loop: Loop;
  readonly #partners: Partners;
  readonly #comers: Comers;
  readonly #log: (text: string) => void;
  readonly #ends = new Map<FifoEnd, { key: number; inode: string | undefined }>();

  /** `isAsync`: whether io_uring is to be used where it can be. */
  constructor(loop: Loop, log: (text: string) => void, isAsync = true) {
    this.#loop = loop;
    this.#log = log;
    this.#partners = new Partners(loop, isAsync);
    this.#comers = new Comers(loop);
  }

  /** Takes streams of a session whose keys `fdOf` knows: an O_PATH descriptor of a FIFO, or undefined. */
  taker(fdOf: (key: number) => number | undefined): Taker {
    return (stream, [key]) => {
      if (typeof key !== "number") throw new ProtocolError("a FIFO's stream has no key");
      const known = fdOf(key);
      if (known === undefined) return E.ESTALE;
      const fd = dup(known);
      if (fd < 0) return -fd;
      const end = new FifoEnd({
        loop: this.#loop,
        partners: this.#partners,
        comers: this.#comers,
        path: `/proc/self/fd/${fd}`,
        log: this.#log,
        reads: () => this.#othersRead(end),
        ended: () => {
          close(fd);
          this.#ends.delete(end);
        },
      });
      this.#ends.set(end, { key, inode: identityOf(fd) });
      end.line.start(stream);
      return end.line;
    };
  }

  /** Tells the other clients that have the same FIFO open. */
  #othersRead(end: FifoEnd): void {
    const inode = this.#ends.get(end)?.inode;
    for (const [other, { inode: its }] of this.#ends) {
      if (other !== end && its !== undefined && its === inode) other.othersRead();
    }
  }

  get figures(): FifoFigures[] {
    return [...this.#ends].map(([{ mode, line }, { key }]) => ({
      key,
      mode,
      received: line.received,
      sent: line.sent,
    }));
  }

  close(): void {
    for (const end of [...this.#ends.keys()]) end.close();
    this.#partners.close();
    this.#comers.close();
  }
}

/** Our write end of a FIFO: data of the HOST's writers goes there, and comes back if nobody reads it. */
import { Backlog } from "../../../bridge/backlog.ts";
import { OwnEnd } from "../../../bridge/ownend.ts";
import { takeAll } from "../../../bridge/pipeends.ts";
import { EPOLLERR, EPOLLOUT } from "../../../sys/epoll.ts";
import { E } from "../../../sys/errno.ts";
import { write } from "../../../sys/io.ts";
import { close, O_RDONLY, O_RDWR, O_WRONLY } from "../../../sys/open.ts";
import { At } from "./machine.ts";
import { type FifoParts, UNKNOWN_MS } from "./parts.ts";

const NONE = -1;
/** Where data that comes is for our readers. */
const DOWNWARD: ReadonlySet<At> = new Set([At.DOWN, At.DOWN_WAIT, At.TRYING_DOWN, At.GIVING]);

export class DownEnd {
  readonly #fifo: FifoParts;
  readonly #end: OwnEnd;
  /** Both ends, open until those who are let have come as far. */
  #stone = NONE;
  /** It is to be closed when it has taken all. */
  #isClosing = false;
  /** It is to be opened yet: who may read has not come. */
  #isLate = false;
  readonly #backlog = new Backlog();
  #isCollecting = false;
  #residue: Uint8Array[] = [];

  constructor(fifo: FifoParts) {
    this.#fifo = fifo;
    this.#end = new OwnEnd(fifo.world.loop, (events) => this.#writable(events));
  }

  get isOpen(): boolean {
    return this.#end.isOpen;
  }

  /** Bytes that have come and are not written yet. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Data has come. */
  take(bytes: Uint8Array, address: number): void {
    const { line, machine } = this.#fifo;
    if (this.#isCollecting) {
      this.#residue.push(new Uint8Array(bytes));
      line.consumed(bytes.length);
      return;
    }
    if (!DOWNWARD.has(machine.at) && !this.isOpen) {
      line.consumed(bytes.length);
      return;
    }
    let wrote = 0;
    if (this.isOpen && this.#backlog.length === 0) {
      wrote = Math.max(write(this.#end.fd, address, bytes.length), 0);
      line.consumed(wrote);
    }
    if (wrote === bytes.length) return;
    this.#backlog.put(bytes.subarray(wrote));
    this.watch();
  }

  open(): void {
    this.#isClosing = false;
    if (this.isOpen || this.#isLate) return;
    if (this.#fifo.presence.hasUnknown) {
      this.#openToUnknown(false);
      return;
    }
    // Whoever reads may not have come as far as to be seen; with both ends open here it is no matter.
    this.#open(O_RDWR, (stone) => {
      this.#stone = stone;
      this.#fifo.presence.hadWriter();
      this.#open(O_WRONLY, (fd) => {
        this.#end.fd = fd;
        this.#flush();
        this.settleStone();
      });
    });
  }

  #open(flags: number, use: (fd: number) => void): void {
    this.#fifo.open(flags, (fd) => {
      if (fd < 0) this.#fifo.fail(fd);
      else use(fd);
    });
  }

  /** Both ends of ours would let a writer in, too: who cannot be written to does not read. */
  #openToUnknown(isLast: boolean): void {
    const { presence, world } = this.#fifo;
    this.#isLate = false;
    this.#fifo.open(O_WRONLY, (fd) => {
      if (fd >= 0) {
        presence.hadWriter();
        this.#end.fd = fd;
        this.#flush();
      } else if (fd === -E.ENXIO && !isLast) {
        // It may not have been let yet.
        this.#isLate = true;
        world.loop.after(UNKNOWN_MS, () => this.#fifo.enqueue({ kind: "openLate" }));
      } else if (fd === -E.ENXIO) {
        presence.unknownDoNot("reads");
        this.#fifo.step({ kind: "readersGone" });
      } else this.#fifo.fail(fd);
    });
  }

  openLate(): void {
    if (this.#isLate && DOWNWARD.has(this.#fifo.machine.at)) this.#openToUnknown(true);
  }

  /** Lets go of the reading end of ours once those who read have come. */
  settleStone(): void {
    if (this.#stone < 0 || !this.isOpen || this.#fifo.presence.waitsFor("reads")) return;
    close(this.#stone);
    this.#stone = NONE;
    this.watch();
    this.#closeIfDone();
  }

  #writable(events: number): void {
    if ((events & EPOLLERR) !== 0) this.#readersGone();
    else this.#flush();
  }

  #flush(): void {
    while (this.#backlog.length > 0 && this.isOpen) {
      const { address, length } = this.#backlog;
      const wrote = write(this.#end.fd, address, length);
      if (wrote <= 0) break;
      this.#backlog.drop(wrote);
      this.#fifo.line.consumed(wrote);
    }
    this.watch();
    this.#closeIfDone();
  }

  /** Waits for room, if that is wanted, and for the last reader's end. */
  watch(): void {
    this.#end.watch(this.#backlog.length > 0 ? EPOLLOUT : 0);
  }

  /** Closes it once it has taken all. */
  finish(): void {
    this.#isClosing = this.isOpen || this.#isLate;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#isClosing || this.#backlog.length > 0 || this.#stone >= 0 || this.#isLate) return;
    this.#close();
    this.#fifo.presence.check();
  }

  #close(): void {
    this.#isClosing = false;
    this.#isLate = false;
    this.#end.close();
    if (this.#stone >= 0) close(this.#stone);
    this.#stone = NONE;
  }

  /** Nobody reads here, as the end says. */
  #readersGone(): void {
    const { presence } = this.#fifo;
    this.#end.unwatch();
    presence.look();
    if (!this.isOpen || presence.waitsFor("reads")) return;
    if (this.#isClosing) {
      // The HOST's writers are gone, too: what was left in the pipe is nobody's.
      this.#dropBacklog();
      this.#close();
    }
    presence.gone("reads");
    this.#fifo.step({ kind: "readersGone" });
  }

  #dropBacklog(): void {
    this.#fifo.line.consumed(this.#backlog.length);
    this.#backlog.clear();
  }

  /** Takes out what is unread, keeps all that still comes, and closes it. */
  collect(): void {
    this.#isCollecting = true;
    this.#residue.push(new Uint8Array(this.#backlog.first(this.#backlog.length)));
    this.#dropBacklog();
    if (!this.isOpen) return;
    this.#fifo.open(O_RDONLY, (fd) => {
      if (fd >= 0) {
        this.#residue.unshift(...takeAll(fd));
        close(fd);
      }
      this.#close();
    });
  }

  /** Sends what was collected. */
  give(): void {
    for (const part of this.#residue) this.#fifo.line.send(part);
    this.#residue = [];
    this.#isCollecting = false;
  }

  /** Closes it at once; nothing is kept. */
  shut(): void {
    this.#close();
    this.#backlog.clear();
    this.#residue = [];
    this.#isCollecting = false;
  }
}

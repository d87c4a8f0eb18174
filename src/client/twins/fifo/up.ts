/** Our read end of a FIFO: what is written here and is for the HOST's readers. */
import { Pulled } from "../../../bridge/fifoline.ts";
import { OwnEnd } from "../../../bridge/ownend.ts";
import { hasWriters, unread } from "../../../bridge/pipeends.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import { read } from "../../../sys/io.ts";
import { O_RDONLY } from "../../../sys/open.ts";
import { type FifoParts, UNKNOWN_MS, UNREAD_FIRST_MS } from "./parts.ts";

/** While others read here, too: how long what they leave is left to them. */
const SHY_LAST_MS = 1;
const SHY_IDLE_MS = 100;

export class UpEnd {
  readonly #fifo: FifoParts;
  readonly #end: OwnEnd;
  /** It is to be closed when those who are let to write have come as far. */
  #isClosing = false;
  #shyMs = UNREAD_FIRST_MS;
  #cancelShy = () => {};

  constructor(fifo: FifoParts) {
    this.#fifo = fifo;
    this.#end = new OwnEnd(fifo.world.loop, () => this.pull());
  }

  get isOpen(): boolean {
    return this.#end.isOpen;
  }

  open(): void {
    this.#isClosing = false;
    if (this.isOpen) {
      this.pull();
      return;
    }
    const { presence, world } = this.#fifo;
    this.#fifo.open(O_RDONLY, (fd) => {
      if (fd < 0) {
        this.#fifo.fail(fd);
        return;
      }
      this.#end.fd = fd;
      if (presence.hasUnknown) world.loop.after(UNKNOWN_MS, () => this.#fifo.resolved());
      this.pull();
    });
  }

  /** Sends what there is, if it is open. */
  pull(): void {
    if (!this.isOpen || this.#isClosing) return;
    const { line, machine } = this.#fifo;
    if (machine.readers) {
      this.#pullShyly();
      return;
    }
    const { fd } = this.#end;
    const found = line.pull((address, max) => read(fd, address, max));
    if (found === Pulled.ALL || found === Pulled.SOME) this.#end.watch(EPOLLIN);
    else if (found === Pulled.BLOCKED) this.#end.unwatch();
    else this.#writersGone();
  }

  /** Looks soon whether that was the last writer. */
  hurry(): void {
    if (!this.isOpen || !this.#fifo.machine.readers) return;
    this.#shyMs = SHY_LAST_MS;
    this.pull();
  }

  /** Others read here, too: only what they leave for a while is taken. */
  #pullShyly(): void {
    const { fd } = this.#end;
    this.#end.unwatch();
    this.#cancelShy();
    const before = unread(fd);
    this.#cancelShy = this.#fifo.world.loop.after(this.#shyMs, () => {
      if (this.#end.fd !== fd) return;
      const isLeft = unread(fd) >= before;
      // The longer nobody else reads, the less they are waited for.
      if (before === 0) this.#shyMs = Math.min(this.#shyMs * 2, SHY_IDLE_MS);
      else this.#shyMs = isLeft ? Math.max(this.#shyMs / 2, SHY_LAST_MS) : UNREAD_FIRST_MS;
      const found = isLeft ? this.#takeLeft(fd, before) : Pulled.ALL;
      if (found === Pulled.END) this.#writersGone();
      else this.pull();
    });
  }

  /** Takes `bytes` that were left, or sees whether anybody writes. */
  #takeLeft(fd: number, bytes: number): number {
    const { line } = this.#fifo;
    if (bytes > 0) return line.pull((address, max) => read(fd, address, Math.min(max, bytes)));
    return hasWriters(fd) === false ? Pulled.END : Pulled.ALL;
  }

  /** Nobody writes here, as the end says. */
  #writersGone(): void {
    const { presence } = this.#fifo;
    this.#end.unwatch();
    presence.look();
    if (!this.isOpen || presence.waitsFor("writes")) return;
    presence.gone("writes");
    this.#fifo.step({ kind: "writersGone" });
  }

  /** Closes it once nobody is on the way any more who was let because of it. */
  finish(): void {
    this.#isClosing = this.isOpen;
    this.#cancelShy();
    this.#end.unwatch();
    this.settle();
  }

  /** Those who write have come, or some of them. */
  settle(): void {
    if (this.#isClosing && !this.#fifo.presence.waitsFor("writes")) this.close();
  }

  close(): void {
    this.#isClosing = false;
    this.#cancelShy();
    this.#end.close();
  }
}

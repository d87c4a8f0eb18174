/** What one kernel's FIFO does, as far as scenarios need it to be known beforehand. */
import { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from "../../../src/sys/open.ts";

export type Side = "dpu" | "host";

export interface ActorState {
  readonly side: Side;
  /** undefined: it has nothing open, and waits for nothing. */
  has: "read" | "write" | "both" | undefined;
  /** It waits in open(2) for the other end. */
  blocked: boolean;
  nonblock: boolean;
}

export const READ = O_RDONLY;
export const WRITE = O_WRONLY;
export const BOTH = O_RDWR;
export const NONBLOCK = O_NONBLOCK;

export class FifoModel {
  readonly actors: ActorState[];
  content = 0;

  constructor(sides: readonly Side[]) {
    this.actors = sides.map((side) => ({
      side,
      has: undefined,
      blocked: false,
      nonblock: false,
    }));
  }

  reads(side?: Side): boolean {
    return this.#any((a) => a.has !== undefined && a.has !== "write", side);
  }

  writes(side?: Side): boolean {
    return this.#any((a) => a.has !== undefined && a.has !== "read", side);
  }

  #any(is: (actor: ActorState) => boolean, side?: Side): boolean {
    return this.actors.some((actor) => (side === undefined || actor.side === side) && is(actor));
  }

  /** Opens; the actors that go on because of it, this one among them if it does not wait. */
  open(index: number, flags: number): number[] {
    const actor = this.actors[index] as ActorState;
    const mode = flags & 3;
    const nonblock = (flags & NONBLOCK) !== 0;
    if (mode === WRITE && nonblock && !this.reads()) return [index];
    actor.has = mode === READ ? "read" : mode === WRITE ? "write" : "both";
    actor.nonblock = nonblock;
    actor.blocked = !nonblock && mode !== BOTH;
    return this.#wake(index);
  }

  #wake(index: number): number[] {
    const [reads, writes] = [this.reads(), this.writes()];
    const woken = this.actors.flatMap((actor, i) => {
      const goesOn = actor.blocked && (actor.has === "read" ? writes : reads);
      if (goesOn) actor.blocked = false;
      return goesOn ? [i] : [];
    });
    const actor = this.actors[index] as ActorState;
    return actor.blocked || woken.includes(index) ? woken : [...woken, index];
  }

  /** Closes, is killed, or gives up its open(2). */
  leave(index: number): void {
    const actor = this.actors[index] as ActorState;
    actor.has = undefined;
    actor.blocked = false;
    if (!this.reads() && !this.writes()) this.content = 0;
  }
}

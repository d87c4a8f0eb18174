/** Carries the descriptors of one connection of programs: what the pump is given as `ancillary`. */
import { encode } from "cbor-x/encode";
import { E } from "../../sys/errno.ts";
import { lseek, SEEK_SET } from "../../sys/io.ts";
import { close } from "../../sys/open.ts";
import { SCM_MAX_FD } from "../../sys/scm.ts";
import { ProtocolError } from "../../wire/error.ts";
import { decodePlain } from "../../wire/plain.ts";
import { type Ancillary, type Failure, RIGHTS_MAX } from "../ancillary.ts";
import type { Bridged } from "./bridged.ts";
import { openMemoryDevice } from "./devices.ts";
import { flagsOfPassed } from "./flags.ts";
import { type Offered, offer } from "./offer.ts";
import { Item, NOT_TOLD, type PassedItem, whole } from "./passed.ts";
import type { Rights } from "./rights.ts";
import type { TerminalSource } from "./terminal.ts";

/** Open flags and offsets of the wire. */
const FLAGS_MAX = 0xffff;

export class Carrier implements Ancillary {
  readonly #rights: Rights;
  readonly #peer: string;
  /** Counts what is packed: an answer for what was dropped finds another number. */
  #turn = 0;
  /** Streams opened for what is packed now, or was last. */
  #opened: Bridged[] = [];
  /** What lasts no longer than the connection, for nobody tells when it is used no more. */
  readonly #bound: Bridged[] = [];
  /** Whose windows may get another size. */
  readonly #terminals = new Set<TerminalSource>();
  /** Descriptors of the share's that have come, which may not be closed in passing. */
  readonly #ofShare = new Set<number>();
  #isOver = false;

  constructor(rights: Rights, peer: string) {
    this.#rights = rights;
    this.#peer = peer;
  }

  pack(fds: readonly number[], done: (packed: Uint8Array | Failure) => void): void {
    this.#opened = [];
    const turn = ++this.#turn;
    const items: PassedItem[] = [];
    let at = 0;
    const next = (): void => {
      if (this.#turn !== turn) {
        for (const fd of fds.slice(at)) close(fd);
        return;
      }
      const fd = fds[at++];
      if (fd === undefined) {
        this.#finish(items, done);
        return;
      }
      offer(this.#rights, fd, (offered) => {
        if (typeof offered === "string") {
          this.#rights.refused(offered, this.#peer);
          for (const rest of fds.slice(at)) close(rest);
          this.drop();
          done(E.EOPNOTSUPP);
          return;
        }
        this.#keep(offered, this.#turn === turn);
        items.push(offered.item);
        next();
      });
    };
    next();
  }

  #keep({ bridged, isBound, terminal }: Offered, isWanted: boolean): void {
    if (terminal !== undefined) this.#terminals.add(terminal);
    if (bridged === undefined) return;
    if (isWanted) this.#opened.push(bridged);
    else bridged.close(NOT_TOLD);
    if (isBound) this.#bound.push(bridged);
  }

  #finish(items: PassedItem[], done: (packed: Uint8Array | Failure) => void): void {
    const packed = encode(items);
    if (packed.length <= RIGHTS_MAX) done(packed);
    else {
      this.#rights.refused(`${items.length} descriptors with long names`, this.#peer);
      this.drop();
      done(E.EMSGSIZE);
    }
  }

  unpack(packed: Uint8Array, done: (fds: number[] | Failure) => void): void {
    const items = decodePlain(packed);
    if (!Array.isArray(items) || items.length === 0 || items.length > SCM_MAX_FD) {
      throw new ProtocolError("descriptors that are no list");
    }
    const openers = items.map((item) => this.#opener(item));
    const fds: number[] = [];
    let left = items.length;
    let failure = 0;
    const got = (index: number, fd: number): void => {
      if (fd >= 0) fds[index] = fd;
      else if (failure === 0) failure = -fd;
      if (--left > 0) return;
      if (failure === 0 && !this.#isOver) done(fds);
      else {
        for (const one of fds) if (one !== undefined) this.release(one);
        if (!this.#isOver) {
          this.#rights.refused("What the peer has passed", this.#peer);
          done(failure);
        }
      }
    };
    // All are asked for at once, and stay in their order.
    for (const [index, open] of openers.entries()) open((fd) => got(index, fd));
  }

  /** What opens one, once all of its message have been looked at. */
  #opener(item: unknown): (done: (fd: number) => void) => void {
    if (!Array.isArray(item)) throw new ProtocolError("descriptor that is no list");
    const [kind, first, second] = item;
    const rights = this.#rights;
    if (kind === Item.STREAM) {
      const id = whole(first);
      return (done) => rights.claim(id, done);
    }
    const [flags, number] = [whole(first, FLAGS_MAX), whole(second)];
    if (kind === Item.DEVICE) return (done) => done(openMemoryDevice(number, flagsOfPassed(flags)));
    if (kind === Item.AGAIN) {
      return (done) => done(rights.terminalAgain(number, flagsOfPassed(flags)));
    }
    if (kind !== Item.SHARE) throw new ProtocolError("descriptor of an unknown kind");
    return (done) =>
      rights.share.open(item.slice(3), flags, (fd) => {
        if (fd >= 0) this.#ofShare.add(fd);
        if (fd >= 0 && number > 0) lseek(fd, number, SEEK_SET);
        done(fd);
      });
  }

  release(fd: number): void {
    if (this.#ofShare.delete(fd)) this.#rights.share.close(fd);
    else close(fd);
  }

  refresh(): void {
    for (const terminal of this.#terminals) {
      if (terminal.isClosed) this.#terminals.delete(terminal);
      else terminal.refresh();
    }
  }

  drop(): void {
    this.#turn++;
    for (const bridged of this.#opened) bridged.close(NOT_TOLD);
    this.#opened = [];
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const bridged of this.#bound) bridged.close(E.EPIPE);
  }
}

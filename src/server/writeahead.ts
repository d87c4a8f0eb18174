/**
 * Large WRITEs whose data is still on its way: what has come of it is written to the file
 * meanwhile, so sending and writing overlap, and data is written while the processor's
 * cache has it. The request is served when its frame is whole, and writes the rest alone.
 * A frame that never becomes whole leaves a beginning written, as a write(2) that is
 * interrupted may; its repetition writes the same once more.
 */
import { pwrite } from "../sys/io.ts";
import type { Transport } from "../transport/transport.ts";
import { Kind } from "../wire/frame.ts";
import { SLOTS_MAX } from "../wire/limits.ts";
import { ARGUMENTS, Op } from "../wire/ops.ts";
import { HandleFlag } from "./handles.ts";
import type { Session } from "./session.ts";
import { runOwn } from "./watches/doing.ts";

/** Bytes written at a time, and received: half of what a small processor's cache holds. */
export const AHEAD_BYTES = 256 * 1024;
/** Writes of these go where only the whole request can say, or at once to the disk. */
const NOT_AHEAD =
  HandleFlag.DEVICE | HandleFlag.LIVE | HandleFlag.APPEND | HandleFlag.SYNC | HandleFlag.DSYNC;
const ITEMS = (ARGUMENTS[Op.WRITE] as number) + 3;

export class WriteAhead {
  /** The frame that arrives: its connection, and where its payload begins there. */
  #transport: Transport | undefined;
  #at = 0;
  #slot = 0;
  #sequence = 0;
  /** Bytes of its payload that are written, and those to be written next. */
  #wrote = 0;
  #length = 0;
  /** Nothing more of it is written ahead. */
  #isOver = false;
  readonly #write = (session: Session) => this.#writeSome(session);

  /** Writes what has come of the request that is arriving, if that is a large WRITE. */
  step(session: Session): void {
    const { transport } = session;
    const have = transport.peek();
    if (have < 0 || transport.kind !== Kind.REQUEST) return;
    const { payloadLength } = transport;
    if (payloadLength <= AHEAD_BYTES || have >= payloadLength) return;
    const at = transport.bytesReceived - have;
    const isNew = at !== this.#at || transport !== this.#transport;
    if (isNew) {
      this.#transport = transport;
      this.#at = at;
      this.#wrote = 0;
      this.#isOver = false;
    }
    this.#length = have - this.#wrote;
    if (this.#isOver || this.#length < AHEAD_BYTES) return;
    if (this.#isFresh(session)) runOwn(session, Op.WRITE, this.#write);
    else this.#isOver = true;
  }

  /** How many bytes at the beginning of the request's payload are written, of the WRITE being served. */
  take({ transport, slot, sequence }: Session): number {
    if (transport !== this.#transport) return 0;
    this.#transport = undefined;
    return slot === this.#slot && sequence === this.#sequence ? this.#wrote : 0;
  }

  /** Whether the request peeked at is a WRITE seen for the first time; reads up to its arguments. */
  #isFresh({ reader, slots }: Session): boolean {
    const items = reader.array();
    const slot = reader.uint();
    const sequence = reader.uint();
    if (reader.uint() !== Op.WRITE || items !== ITEMS || slot >= SLOTS_MAX) return false;
    this.#slot = slot;
    this.#sequence = sequence;
    return sequence === slots.last(slot) + 1 && !slots.isBusy(slot);
  }

  /** The reader stands at the arguments of the WRITE; its result is told when it is served. */
  #writeSome(session: Session): number {
    const handle = session.handle();
    const offset = session.reader.uint();
    const flags = session.reader.uint32();
    this.#isOver = true;
    if (handle <= 0 || flags !== 0) return 0;
    const { handles } = session.attached;
    const fd = handles.fd[handle] as number;
    const handleFlags = handles.flags[handle] as number;
    if (fd < 0 || (handleFlags & NOT_AHEAD) !== 0) return 0;
    const from = session.transport.payloadAddress + this.#wrote;
    const wrote = pwrite(fd, from, this.#length, offset + this.#wrote);
    if (wrote < 0) return 0;
    handles.flags[handle] = handleFlags | HandleFlag.WROTE;
    this.#wrote += wrote;
    this.#isOver = wrote < this.#length;
    return 0;
  }
}

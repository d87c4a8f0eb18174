/**
 * What a mount must not lose with its process: which requests of the kernel the
 * server was asked in which slot, what the server was told and may not have got,
 * and a few numbers. It is one region of memory, of a memfd that the keeper holds
 * (client/keeper.ts), so the process may be killed between any two stores and
 * the next one goes on: each writer says in which order it stores what.
 */
import { TRANSFER_MAX } from "../fuse/device.ts";
import { cstring } from "../sys/cstring.ts";
import { ftruncate } from "../sys/io.ts";
import { allocate, type Region, regionAt } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { mapShared, memfdCreate } from "../sys/sharedmemory.ts";
import { SLOTS_MAX } from "../wire/limits.ts";

/** Kernel requests up to this size are copied to their slot's place; larger ones stay in a buffer. */
export const SLOT_BYTES = 8192;
/** A request as large as the kernel sends: a WRITE's headers and data, and room to spare. */
export const BUFFER_BYTES = TRANSFER_MAX + 64 * 1024;
/** Large requests that the server has not answered, at most, and one being read. */
export const BUFFERS = 17;
/** Bytes of one-way messages that the server may not have got. */
export const ONEWAYS_BYTES = 256 * 1024;
/** Nodes with range locks that are remembered one by one. */
export const LOCKED_MAX = 16_384;
/** Room for what the daemon needs to know to go on: its options, as JSON. */
export const SETTINGS_BYTES = 64 * 1024;

/** Places of single numbers. */
export const Head = {
  /** Says that the record is one, and of this layout. */
  MAGIC: 0,
  /** Where the settings are and how long (settings.ts). */
  SETTINGS: 1,
  /** Slots that the server granted. */
  SLOTS: 2,
  /** Requests asked so far: their order. */
  ASKED: 3,
  /** One-way messages written so far, and how many of them the server has surely got. */
  ONEWAYS: 4,
  ONEWAYS_GOT: 5,
  /** Bytes of the one-way messages' ring written and given back so far. */
  RING_TAIL: 6,
  RING_HEAD: 7,
  /** Number of the kernel's last request that a message came of; valid once that message is counted. */
  RELEASED_LOW: 8,
  RELEASED_HIGH: 9,
  RELEASED_BY: 18,
  NEXT_DIRECTORY: 10,
  ROOT_POLICY: 11,
  LOCKED_COUNT: 12,
  /** 1 when more nodes have locks than are remembered. */
  LOCKED_ALL: 13,
  /** Sessions that this mount has had: the number of the present one. */
  EPOCH: 14,
  /** Whether the kernel marks requests that it sends again. */
  RESENDS: 15,
  /** Server processes that have had the session. */
  LIVES: 16,
  /** Daemons that took over from one that had died. */
  RESTARTS: 17,
  /** EVENT frames of the session that the kernel was told of. */
  EVENTS: 19,
  /** The thread that makes ghost operations (watches/ghosts.ts). */
  GHOST: 24,
  /** The thread of the twin process that touches the mount (twins/door.ts), while there is that process. */
  TWIN: 25,
  /** Minor version of the kernel's protocol. */
  MINOR: 26,
} as const;
const HEAD_NUMBERS = 32;

/** The layout; a record of another build that says otherwise is not read. */
export const RECORD_MAGIC = 0x7174_6673_0001;

const PAGE = 4096;
function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

const HEAD_AT = 0;
export const SETTINGS_AT = PAGE;
const COLUMNS_AT = SETTINGS_AT + SETTINGS_BYTES;
/** Bytes of one slot in all its columns. */
const COLUMNS_BYTES = pages(SLOTS_MAX * 128);
const LOCKED_AT = COLUMNS_AT + COLUMNS_BYTES;
const ONEWAYS_AT = LOCKED_AT + pages(LOCKED_MAX * 8);
const REQUESTS_AT = ONEWAYS_AT + ONEWAYS_BYTES;
const BUFFERS_AT = REQUESTS_AT + SLOTS_MAX * SLOT_BYTES;

/** Size of a record. */
export const RECORD_BYTES = BUFFERS_AT + BUFFERS * BUFFER_BYTES;

/** A record's memory, as a descriptor that others can be given; -errno where there is none to be had. */
export function createRecord(): number {
  const fd = memfdCreate(cstring("qtfs-mount"));
  if (fd < 0) return fd;
  const result = ftruncate(fd, RECORD_BYTES);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** The record that `fd` is, or one of this process alone where there is none. */
export function mapRecord(fd: number): ClientRecord {
  const address = fd < 0 ? fd : mapShared(fd, RECORD_BYTES);
  return address < 0 ? new ClientRecord() : new ClientRecord(regionAt(address, RECORD_BYTES));
}

/** A part of a region as a region. */
function part(region: Region, at: number, size: number): Region {
  const { buffer } = region.view;
  return {
    address: region.address + at,
    size,
    bytes: region.bytes.subarray(at, at + size) as Region["bytes"],
    words: new Uint32Array(buffer, at, size / 4),
    view: new DataView(buffer, at, size),
  };
}

export class ClientRecord {
  readonly head: Float64Array<ArrayBuffer>;
  readonly locked: Float64Array<ArrayBuffer>;
  readonly oneways: Region;
  /** Buffers that the kernel's requests are read to; each holds the largest. */
  readonly buffers: readonly Region[];
  readonly #region: Region;
  #column = COLUMNS_AT;

  /** `region`: RECORD_BYTES of zeros, or what an earlier daemon left. */
  constructor(region: Region = allocate(RECORD_BYTES)) {
    const { buffer } = region.view;
    this.#region = region;
    this.head = new Float64Array(buffer, HEAD_AT, HEAD_NUMBERS);
    this.locked = new Float64Array(buffer, LOCKED_AT, LOCKED_MAX);
    this.oneways = part(region, ONEWAYS_AT, ONEWAYS_BYTES);
    this.buffers = Array.from({ length: BUFFERS }, (_, i) =>
      part(region, BUFFERS_AT + i * BUFFER_BYTES, BUFFER_BYTES),
    );
  }

  get(field: number): number {
    return this.head[field] as number;
  }

  set(field: number, value: number): void {
    this.head[field] = value;
  }

  /** The next column of one number a slot; always asked for in the same order. */
  numbers(): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#region.view.buffer, this.#take(8), SLOTS_MAX);
  }

  words(): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.#region.view.buffer, this.#take(4), SLOTS_MAX);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#region.view.buffer, this.#take(1), SLOTS_MAX);
  }

  /** Where the kernel's request of `slot` is kept if it is small. */
  request(slot: number): Region {
    return part(this.#region, REQUESTS_AT + slot * SLOT_BYTES, SLOT_BYTES);
  }

  /** All those places, as words. */
  get requestWords(): Uint32Array<ArrayBuffer> {
    const words = (SLOTS_MAX * SLOT_BYTES) / 4;
    return new Uint32Array(this.#region.view.buffer, REQUESTS_AT, words);
  }

  #take(bytes: number): number {
    const at = this.#column;
    this.#column += bytes * SLOTS_MAX;
    if (this.#column > LOCKED_AT) throw new Error("A slot has more columns than its record");
    return at;
  }
}

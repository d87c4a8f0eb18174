/**
 * Where everything is in a session's record, which is one sparse file:
 *
 * | section | what |
 * | --- | --- |
 * | header | magic, version, bounds; rows each table has room for; twice the details |
 * | slots | the session's, for what it keeps of its slots; opaque here |
 * | handles | columns, a row for each handle |
 * | locks | a row for each range locked |
 * | nodes | columns, a row for each node |
 * | names | the names of the nodes' hints |
 *
 * Every section has the place that its table needs at its bound, and pages only
 * as far as the table has grown. All numbers are of this machine's byte order:
 * a record never leaves it. Whoever changes anything here raises VERSION.
 */
import { HANDLES_MAX, NODES_MAX } from "../../wire/limits.ts";

/** "qtfs", "sess" as little-endian words. */
export const MAGIC = [0x73667471, 0x73736573] as const;
export const VERSION = 2;

/** Ranges that all lock owners of a session may hold together. */
export const LOCK_ROWS_MAX = 262_144;
/** Bytes of all names of a session's hints. */
export const NAME_BYTES_MAX = 2 ** 31;

/** Sections and columns begin at multiples of the largest page a machine has. */
const ALIGNMENT = 65_536;

/** One number of each row of a table, all rows in a row. */
export interface Column {
  /** Bytes from the file's begin. */
  readonly at: number;
  /** Bytes of a row. */
  readonly width: number;
}

let end = 0;

function section(bytes: number): number {
  const at = end;
  end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  return at;
}

function column(width: number, rows: number): Column {
  return { at: section(width * rows), width };
}

/** Words of the header. */
export const HEADER = {
  magic: 0,
  version: 2,
  /** Bounds that the layout follows from: see BOUNDS. */
  bounds: 3,
  /** Rows that pages are allocated for, 16 bytes each of the names. */
  nodeRows: 8,
  handleRows: 9,
  lockRows: 10,
  nameUnits: 11,
  /** Processes that have served the session, the first included. */
  lives: 12,
  /** Process that serves it now. */
  pid: 13,
  /** Which of the two places has the details: 0 or 1. */
  details: 14,
} as const;
export const HEADER_BYTES = 65_536;
/** Details: a length, a checksum (u32 each) and that much JSON, in two places by turns. */
export const DETAILS_AT = [8_192, 36_864] as const;
export const DETAILS_BYTES = 28_672;

export const SLOTS_BYTES = 512 * 1024;

export const HEADER_AT = section(HEADER_BYTES);
export const SLOTS_AT = section(SLOTS_BYTES);

/** struct file_handle of sys/handle.ts with its most data. */
export const FILE_HANDLE_BYTES = 136;

/** Columns of the open files. */
export const HANDLE = {
  /** HandleState: 0 where there is no handle; written last, cleared first. */
  state: column(1, HANDLES_MAX),
  flags: column(4, HANDLES_MAX),
  /** Whole-file lock: 0 none, else the wire's Lock type and 1. */
  flock: column(1, HANDLES_MAX),
  node: column(4, HANDLES_MAX),
  /** The wire's OpenFlag. */
  openFlags: column(4, HANDLES_MAX),
  /** Who opened it. */
  uid: column(4, HANDLES_MAX),
  gid: column(4, HANDLES_MAX),
  fileHandle: column(FILE_HANDLE_BYTES, HANDLES_MAX),
} as const;

/** Words of a lock's row. */
export const LOCK = {
  /** The wire's Lock type and 1, or 0 where there is no lock; written last, cleared first. */
  type: 0,
  node: 1,
  handle: 2,
  pid: 3,
  ownerHigh: 4,
  ownerLow: 5,
  startHigh: 6,
  startLow: 7,
  /** Last byte, inclusive. */
  endHigh: 8,
  endLow: 9,
} as const;
export const LOCK_WORDS = 10;
export const LOCKS = column(4 * LOCK_WORDS, LOCK_ROWS_MAX);

const nodeColumn = () => column(4, NODES_MAX);

/** Columns of the nodes; what they mean is said in nodes.ts. */
export const NODE = {
  reuse: nodeColumn(),
  lookups: nodeColumn(),
  mount: nodeColumn(),
  device: nodeColumn(),
  inoHigh: nodeColumn(),
  inoLow: nodeColumn(),
  birth: nodeColumn(),
  birthNs: nodeColumn(),
  parent: nodeColumn(),
  parentReuse: nodeColumn(),
  name: nodeColumn(),
  madeWith: nodeColumn(),
  seenTime: nodeColumn(),
  seenTimeNs: nodeColumn(),
  seenSize: nodeColumn(),
  toldTime: nodeColumn(),
  toldTimeNs: nodeColumn(),
  toldSize: nodeColumn(),
} as const;

/** Names come in units of this many bytes. */
export const NAME_UNIT = 16;
export const NAMES = column(NAME_UNIT, NAME_BYTES_MAX / NAME_UNIT);

/** Bytes of the whole file. */
export const RECORD_BYTES = end;

/** What the layout was made for: another build's bounds are another layout. */
export const BOUNDS = [
  NODES_MAX,
  HANDLES_MAX,
  LOCK_ROWS_MAX,
  NAME_BYTES_MAX,
  RECORD_BYTES / ALIGNMENT,
] as const;

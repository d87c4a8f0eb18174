/**
 * What a reactor counts, in memory shared with the thread that tells people:
 * per operation how often, how often in vain, bytes, and a histogram of
 * latencies. One thread writes, without locks; readers may see a request half
 * counted, never a wrong sum in the end.
 */
import { OP_COUNT, opName } from "../wire/ops.ts";
import { HEARTBEAT_BYTES, Heartbeat } from "./heartbeat.ts";

/** Four buckets to a doubling, from 256 ns to nine minutes. */
const BUCKETS = 128;
const UNIT_SHIFT = 8;
const NS_PER_US = 1000;
/** Numbers of one operation: count, errors, bytes, nanoseconds. */
const FIELDS = 4;
const GLOBALS = 48;

/** Numbers that are not about one operation, by place. */
const Global = {
  PROTOCOL_ERRORS: 0,
  REPLAYS: 1,
  SESSIONS: 2,
  NODES: 3,
  HANDLES: 4,
  LOCKS: 5,
  WATCHES: 6,
  THREADS: 7,
  BYTES_IN: 8,
  BYTES_OUT: 9,
  WAITING: 10,
  /** Answers that the kernel would not take. */
  REFUSED: 11,
  /** Sessions without a connection at the moment, and how often one was continued. */
  DETACHED: 12,
  RESUMES: 13,
  CANCELS: 14,
  /** Lookups taken back because their answer was lost. */
  LOOKUPS_UNDONE: 15,
  /** Sessions of a process that had died, and what of theirs was had again or not. */
  RECOVERED: 16,
  REOPENED: 17,
  STALE_HANDLES: 18,
  LOCKS_RECLAIMED: 19,
  LOCKS_LOST: 20,
  /** Inodes watched for programs, and events told of them, lost for want of room, or refused. */
  EVENT_WATCHES: 25,
  EVENTS: 26,
  EVENTS_LOST: 27,
  WATCHES_REFUSED: 28,
  /** Sessions for streams, their streams, those that wait for a listener, keys, bytes, and resumptions. */
  BRIDGES: 29,
  STREAMS: 30,
  STREAMS_WAITING: 31,
  TWINS: 32,
  STREAM_BYTES_IN: 33,
  STREAM_BYTES_OUT: 34,
  STREAM_RESUMES: 35,
  /** Clients that were not let in by TLS, by what was wrong (identity/refusals.ts). */
  TLS_NO_CERTIFICATE: 36,
  TLS_UNKNOWN_AUTHORITY: 37,
  TLS_EXPIRED: 38,
  TLS_NOT_YET_VALID: 39,
  TLS_REVOKED: 40,
  TLS_WRONG_USAGE: 41,
  TLS_UNKNOWN_NAME: 42,
  TLS_OLD_PROTOCOL: 43,
  TLS_PLAINTEXT: 44,
  TLS_FAILED: 45,
} as const;

/** One operation's figures, for people and programs. */
export interface OpFigures {
  op: string;
  count: number;
  errors: number;
  bytes: number;
  /** Microseconds. */
  meanUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  maxUs: number;
}

function bucketOf(ns: number): number {
  const units = Math.min(ns, 0x7f_ffff_ff00) / (1 << UNIT_SHIFT);
  const v = units < 4 ? 4 : units >>> 0;
  const exponent = 31 - Math.clz32(v);
  return (exponent - 2) * 4 + ((v >>> (exponent - 2)) & 3);
}

/** Upper bound of a bucket in microseconds. */
function bucketUs(bucket: number): number {
  const exponent = Math.floor(bucket / 4) + 2;
  const units = (4 + (bucket % 4) + 1) * 2 ** (exponent - 2);
  return (units * (1 << UNIT_SHIFT)) / NS_PER_US;
}

export class Counters {
  readonly shared: SharedArrayBuffer;
  /** What the reactor is at. */
  readonly heartbeat: Heartbeat;
  readonly #ops: Float64Array;
  readonly #globals: Float64Array;
  readonly #histograms: Uint32Array;

  constructor(shared?: SharedArrayBuffer) {
    const numbers = OP_COUNT * FIELDS;
    const bytes = (numbers + GLOBALS) * 8 + OP_COUNT * BUCKETS * 4;
    this.shared = shared ?? new SharedArrayBuffer(bytes + HEARTBEAT_BYTES);
    this.heartbeat = new Heartbeat(this.shared, bytes);
    this.#ops = new Float64Array(this.shared, 0, numbers);
    this.#globals = new Float64Array(this.shared, numbers * 8, GLOBALS);
    this.#histograms = new Uint32Array(this.shared, (numbers + GLOBALS) * 8, OP_COUNT * BUCKETS);
  }

  /** An operation was answered `ns` nanoseconds after it came. */
  served(op: number, ns: number): void {
    const at = op * FIELDS;
    const ops = this.#ops;
    ops[at] = (ops[at] as number) + 1;
    ops[at + 3] = (ops[at + 3] as number) + ns;
    const bucket = op * BUCKETS + bucketOf(ns);
    this.#histograms[bucket] = (this.#histograms[bucket] as number) + 1;
  }

  /** It was answered with an errno. */
  failed(op: number, _errno: number): void {
    const at = op * FIELDS + 1;
    this.#ops[at] = (this.#ops[at] as number) + 1;
  }

  /** It moved `bytes` bytes of data. */
  moved(op: number, bytes: number): void {
    const at = op * FIELDS + 2;
    this.#ops[at] = (this.#ops[at] as number) + bytes;
  }

  get protocolErrors(): number {
    return this.#globals[Global.PROTOCOL_ERRORS] as number;
  }

  set protocolErrors(value: number) {
    this.#globals[Global.PROTOCOL_ERRORS] = value;
  }

  get replays(): number {
    return this.#globals[Global.REPLAYS] as number;
  }

  set replays(value: number) {
    this.#globals[Global.REPLAYS] = value;
  }

  /** One more of what is only ever counted up. */
  count(name: keyof typeof Global, times = 1): void {
    const at = Global[name];
    this.#globals[at] = (this.#globals[at] as number) + times;
  }

  /** Sets what a reactor has at the moment. */
  gauge(name: keyof typeof Global, value: number): void {
    this.#globals[Global[name]] = value;
  }

  /** All gauges and totals, by name in camelCase. */
  gauges(): Record<string, number> {
    const result: Record<string, number> = {};
    for (const [name, at] of Object.entries(Global)) {
      const camel = name.toLowerCase().replace(/_(.)/g, (_, c: string) => c.toUpperCase());
      result[camel] = this.#globals[at] as number;
    }
    return result;
  }

  /** Figures of every operation that was ever served, of all `parts` together. */
  static figures(parts: readonly Counters[]): OpFigures[] {
    const result: OpFigures[] = [];
    for (let op = 0; op < OP_COUNT; op++) {
      const sum = (field: number) =>
        parts.reduce((total, p) => total + (p.#ops[op * FIELDS + field] as number), 0);
      const count = sum(0);
      if (count === 0) continue;
      const histogram = new Float64Array(BUCKETS);
      for (const part of parts) {
        for (let b = 0; b < BUCKETS; b++) {
          histogram[b] = (histogram[b] as number) + (part.#histograms[op * BUCKETS + b] as number);
        }
      }
      result.push({
        op: opName(op),
        count,
        errors: sum(1),
        bytes: sum(2),
        meanUs: sum(3) / count / NS_PER_US,
        p50Us: percentile(histogram, 0.5),
        p90Us: percentile(histogram, 0.9),
        p99Us: percentile(histogram, 0.99),
        maxUs: percentile(histogram, 1),
      });
    }
    return result;
  }
}

/** Upper bound, in microseconds, of the bucket that `share` of all entries reach. */
function percentile(histogram: Float64Array, share: number): number {
  const total = histogram.reduce((sum, n) => sum + n, 0);
  let left = total * share;
  for (let bucket = 0; bucket < histogram.length; bucket++) {
    left -= histogram[bucket] as number;
    if (left <= 0) return bucketUs(bucket);
  }
  return bucketUs(histogram.length - 1);
}

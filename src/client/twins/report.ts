/** What the twin process says of itself: see `qtfs info`. */

/** A socket or FIFO that is served. */
export interface MeetingReport {
  /** "socket": of the HOST's, served here; "bound": bound here, served on the HOST; "fifo". */
  kind: "socket" | "bound" | "fifo";
  /** Path on the HOST; of one that was bound here its name at that time. */
  path: string;
  /** stream, seqpacket, dgram; of a FIFO its state (fifo/machine.ts). */
  type: string;
  /** Connections so far; of a FIFO threads that wait in open(2) here. */
  connections: number;
}

/** A stream between here and the HOST. */
export interface StreamReport {
  path: string;
  /** Who has connected. */
  peer: string;
  /** Bytes from here to the HOST, and from there to here. */
  bytesOut: number;
  bytesIn: number;
  /** Bytes that have come from the HOST and nobody here has taken yet. */
  waiting: number;
  /** Bytes that the HOST lets us send now. */
  credit: number;
  ageSeconds: number;
}

export interface TwinsReport {
  pid: number;
  connected: boolean;
  /** Times that its session went on over another connection, and times that it was lost. */
  resumes: number;
  losses: number;
  /** All there are; the lists have the first REPORTED_MAX of them. */
  meetingCount: number;
  streamCount: number;
  meetings: MeetingReport[];
  streams: StreamReport[];
}

/** Rows of each list: an answer has to fit into a frame. */
export const REPORTED_MAX = 2000;

const TYPES: Readonly<Record<number, string>> = { 1: "stream", 2: "dgram", 5: "seqpacket" };

/** A path whose characters are bytes, as text. */
export function pathText(path: string): string {
  return Buffer.from(path, "latin1").toString();
}

/** SOCK_* for people. */
export function typeName(type: number): string {
  return TYPES[type] ?? `type ${type}`;
}

/** What a server and its bridge say to each other (keeper/channel.ts), and where they meet. */
import { readlinkSync } from "node:fs";
import type { LogLine, Parting } from "../../keeper/kept.ts";
import { keeperSocket } from "../../keeper/place.ts";
import type { PeerIdentity } from "../../transport/transport.ts";
import type { ClientHello } from "../../wire/hello.ts";

/** Of what is said here; part of the socket's name, so that others are not found. */
const VERSION = 1;
/** A bridge's name: argv[0], by which the executable knows what it is (main.ts), and in ps(1). */
export const BRIDGE_NAME = "qtfs-bridge";

/** The path of the socket of the bridge of a server that listens at `addresses`. */
export function bridgePath(addresses: readonly string[]): string {
  // Another network has the same addresses, and perhaps the same /run.
  const isLocal = addresses.every((address) => address.startsWith("unix:"));
  const network = isLocal ? [] : [readlinkSync("/proc/self/ns/net")];
  return keeperSocket("bridge", VERSION, [...addresses, ...network]);
}

/** What a key stands for. */
export const What = {
  /** A socket or FIFO of the HOST's, O_PATH. */
  NODE: 1,
  /** A socket that was bound for the DPU, and listens where its type does. */
  LISTENER: 2,
  /** A file or directory opened to be passed on. */
  FILE: 3,
  /** An abstract name, in a file in memory. */
  NAME: 4,
  /** A socket that was bound for the DPU to an abstract name, and listens there. */
  NAMED_LISTENER: 5,
} as const;

/**
 * From the server. `owner`: the mount's session (registry.ts: ownerOf), the same for every
 * process of the server.
 */
export type Told =
  | { kind: "serve"; leaseMs: number }
  /** A client that has said HELLO with role streams, and its connection beside. */
  | { kind: "client"; owner: string; peer: PeerIdentity; hello: ClientHello }
  /**
   * The descriptor beside can be had by `key` in sessions of `owner`, in place of what that had
   * before. `type`: of a socket (SOCK_*), or 0.
   */
  | { kind: "key"; owner: string; key: number; what: number; type: number }
  /** The key is no more. */
  | { kind: "remove"; owner: string; key: number }
  /** The mount's session has ended, with all its keys. */
  | { kind: "ended"; owner: string }
  /** Its client's process for streams has ended, and what it has open with it. */
  | { kind: "cut"; owner: string };

export type ToBridge = Told | Parting;

/** What is counted of a bridge, by the names of the server's counters. */
export const FIGURES = [
  "BRIDGES",
  "STREAMS",
  "STREAMS_WAITING",
  "TWINS",
  "STREAM_BYTES_IN",
  "STREAM_BYTES_OUT",
  "STREAM_RESUMES",
  "PROTOCOL_ERRORS",
] as const;
export type BridgeFigures = Record<(typeof FIGURES)[number], number>;

/** From the bridge, beside the log. */
export type Tells =
  /** The first message: of which release it is, whether it has nothing to keep, and for whom it has something. */
  | { kind: "hello"; pid: number; build: string; isIdle: boolean; owners: string[] }
  | { kind: "figures"; figures: BridgeFigures };

export type FromBridge = Tells | LogLine | { kind: "done" };

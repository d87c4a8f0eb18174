/** What a rexec-server and its keeper say to each other (keeper/channel.ts). */
import { MESSAGE_BYTES } from "../../keeper/channel.ts";
import type { LogLine, Parting } from "../../keeper/kept.ts";
import type { ClientHello } from "../../wire/hello.ts";
import type { Client } from "./client.ts";
import type { ProgramReport } from "./register.ts";
import type { Rule } from "./rules.ts";

/** Of what is said here; part of the socket's name, so that others are not found. */
export const CHANNEL_VERSION = 1;

/** From the server to its keeper. */
export type ToKeeper =
  /** A further rule of those that begin with "serve". */
  | { kind: "rule"; rule: Rule }
  /** The rules told before are all there are, and hold from now on. */
  | { kind: "serve"; leaseMs: number }
  /** A client that has said HELLO, and its connection beside. */
  | { kind: "client"; client: Client; hello: ClientHello }
  /** Clients of this name may not be there any more: their sessions end. */
  | { kind: "revoked"; name: string }
  /** A client's connection that the server had (Client.relay) was closed at the other end. */
  | { kind: "closed"; relay: string }
  | Parting;

/** From the keeper to the server. */
export type FromKeeper =
  /** The first message: of which release it is, and whether it has nothing to keep. */
  | { kind: "hello"; pid: number; build: string; isIdle: boolean }
  | LogLine
  /** A program has started or ended; at first all that are known. */
  | { kind: "program"; report: ProgramReport }
  | { kind: "done" };

/** Whether a rule is short enough to be told. */
export function fitsChannel(rule: Rule): boolean {
  return Buffer.byteLength(JSON.stringify(rule)) < MESSAGE_BYTES / 2;
}

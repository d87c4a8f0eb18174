/** Joins a connected socket to a stream, as its type wants it. */
import type { PumpFigures } from "../../bridge/pumpbytes.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import type { TwinSide } from "./side.ts";

export interface Pump extends StreamHandler {
  start(stream: Stream): void;
  close(errno: number): void;
  readonly isClosed: boolean;
  readonly figures: PumpFigures;
}

export interface PumpWish {
  fd: number;
  /** SOCK_* */
  type: number;
  /** Who is at the other end of the socket, for people. */
  peer: string;
  ended: () => void;
}

/** A pump that owns the socket. */
export function makePump({ loop }: TwinSide, { fd, peer, ended }: PumpWish): Pump {
  return new BytePump({ loop, fd, shape: Shape.SOCKET, peer, ended });
}

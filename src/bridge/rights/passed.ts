/** How descriptors that are passed look on the wire; see wire/README.md. */
import { E } from "../../sys/errno.ts";
import { ProtocolError } from "../../wire/error.ts";

/** What a stream of kind DESCRIPTOR carries: `[id, what, flags, …]`, flags as OpenFlag. */
export const Passed = {
  /** The receiver gets the end of a pipe that is read. */
  PIPE_READ: 1,
  /** The end that is written. */
  PIPE_WRITE: 2,
  /** `[…, type]`: a connected socket of `type` (SocketType). */
  SOCKET: 3,
  /** `[…, modes, rows, columns, width, height]`: a terminal. */
  TERMINAL: 4,
  /** `[…, size, seals, offset]`: a file in memory; its bytes are the stream's data. */
  MEMFD: 5,
  /** `[…, semaphore]`: an event counter; each 8 bytes of data are added to it. */
  EVENTFD: 6,
} as const;

/** What stands for a descriptor in a RIGHTS message. */
export const Item = {
  /** `[0, id]`: what the stream with that id carries. */
  STREAM: 0,
  /** `[1, flags, offset, …]`: a file of the share. */
  SHARE: 1,
  /** `[2, flags, minor]`: one of the memory devices (null(4)). */
  DEVICE: 2,
  /** `[3, flags, id]`: another descriptor of a terminal that a stream was opened for. */
  AGAIN: 3,
} as const;

/** With what a stream is reset whose descriptor will not be told of: it is to be closed. */
export const NOT_TOLD = E.ECANCELED;

export type PassedItem = readonly (number | string | Uint8Array)[];

/** The whole number from 0 to `max` that `value` must be. */
export function whole(value: unknown, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
    throw new ProtocolError("descriptor described by a wrong number");
  }
  return value;
}

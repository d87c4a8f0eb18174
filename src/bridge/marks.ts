/** What is to be done at a place in the bytes that go to a descriptor. */
import type { PeerCredentials } from "../sys/sockopt.ts";

/** One place: so many bytes have gone before it. */
export interface Mark {
  readonly at: number;
  readonly what: Credentials | Urgent | Rights;
}

/** From here on the bytes are somebody else's. */
export interface Credentials {
  readonly credentials: PeerCredentials | undefined;
}

/** One byte out of band. */
export interface Urgent {
  readonly urgent: Uint8Array;
}

/** Descriptors that go with the next bytes; `fds` once they are here. */
export interface Rights {
  /** How many bytes they were sent with: nothing behind those may be glued to them. */
  readonly length: number;
  fds: number[] | undefined;
}

/** Has descriptors closed that have come and not gone on. */
export function closeRights(marks: readonly Mark[], release: (fd: number) => void): void {
  for (const { what } of marks) {
    if (!("fds" in what)) continue;
    for (const fd of what.fds ?? []) release(fd);
    what.fds = undefined;
  }
}

/** Descriptors that are on their way. */
export function pendingRights(length: number): Rights {
  return { length, fds: undefined };
}

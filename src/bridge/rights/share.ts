/** Files and directories that both sides reach: passed by saying which, not by their bytes. */

import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";

/** What says which file is meant, as the side that opens it understands it: plain CBOR items. */
export type Described = readonly (number | string | Uint8Array)[];

/**
 * What each side does for descriptors of files. `flags` are bits of OpenFlag (wire/constants.ts),
 * neither READ nor WRITE for O_PATH; offsets are kept by others.
 */
export interface ShareFiles {
  /**
   * Says by what the peer can open the file (or directory) that `fd` has open, which stays the
   * caller's and is open until `done` is called: now or later, once. undefined: the peer does
   * not reach it; a number: the errno that it failed with.
   */
  describe(fd: number, flags: number, done: (what: Described | undefined | number) => void): void;
  /** Opens what the peer has described, checking each item: a descriptor, or -errno. */
  open(what: readonly unknown[], flags: number, done: (fd: number) => void): void;
  /** Closes a file that was described, which may take a round trip as well. */
  close(fd: number): void;
}

/** For a side that shares nothing. */
export const NO_SHARE: ShareFiles = {
  describe: (_, __, done) => done(undefined),
  open: (_, __, done) => done(-E.EXDEV),
  close: (fd) => void close(fd),
};

/** What the operations on the HOST's mounts share. */
import { readlinkSync } from "node:fs";
import { E } from "../../sys/errno.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import { STATX, STATX_MNT_ID, STATX_STRUCT_SIZE, statx } from "../../sys/stat.ts";
import { MOUNT_DATA_MAX } from "../../wire/limits.ts";
import { NOTHING, note, noted } from "../doubt.ts";
import { isAllowed } from "../permission.ts";
import type { Session } from "../session.ts";

const PAGE = 4096;
const described = allocate(STATX_STRUCT_SIZE);

/** errno for a session that may not mount; 0 for one that may. */
export function refusal(session: Session): number {
  if (!isAllowed(session, "sysmount")) return E.EPERM;
  return session.attached.readOnly ? E.EROFS : 0;
}

/** Id of the mount that `name` in `dirfd` is in, NOTHING where that cannot be told. */
export function mountId(dirfd: number, name: number, flags: number): number {
  const result = statx(dirfd, name, flags, STATX_MNT_ID, described.address);
  const isTold = (described.view.getUint32(STATX.mask, true) & STATX_MNT_ID) !== 0;
  return result === 0 && isTold ? described.view.getUint32(STATX.mntId, true) : NOTHING;
}

/**
 * Whether an earlier run of the request has come to its end, `id` being the mount at
 * its target now; notes it for a later run if not.
 */
export function isAnother(session: Session, id: number): boolean {
  const before = session.doubtSinceNs === 0 ? NOTHING : noted(session);
  if (before !== NOTHING && id !== before) return true;
  note(session, id);
  return false;
}

/** Where the directory or file `fd` is, from the server's root, a byte a character. */
export function pathOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }).toString("latin1");
}

/** Texts and data of one call, in memory that outlives the request. */
export class Texts {
  readonly region: Region = allocate(4 * PAGE + MOUNT_DATA_MAX);
  #next = 0;

  free(): void {
    free(this.region);
  }

  /** Address of a text, a byte a character; 0 (NULL) for none. */
  put(text: string): number {
    return this.putBytes(Buffer.from(text, "latin1"));
  }

  /** Address of a text, an empty one too. */
  putText(bytes: Uint8Array): number {
    return bytes.length === 0 ? this.region.address + this.#next++ : this.putBytes(bytes);
  }

  /** What the call has put at an address. */
  text(address: number, length: number): string {
    const at = address - this.region.address;
    return this.region.bytes.latin1Slice(at, at + length);
  }

  /** The same of bytes, zeros behind them. */
  putBytes(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const at = this.#next;
    this.region.bytes.set(bytes, at);
    this.#next += bytes.length + 1;
    return this.region.address + at;
  }
}

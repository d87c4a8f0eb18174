/** What the kernel would say to an answer (fs/fuse/dev.c, dir.c, readdir.c). */
import {
  ATTR_OUT_SIZE,
  DIRENT,
  DIRENT_NAME_OFFSET,
  ENTRY_OUT_SIZE,
  GETXATTR_IN,
  GETXATTR_OUT_SIZE,
  IOCTL_IN,
  IOCTL_OUT_SIZE,
  LK_OUT_SIZE,
  LSEEK_OUT_SIZE,
  OPEN_OUT_SIZE,
  Opcode,
  READ_IN,
  STATFS_OUT_SIZE,
  STATX_OUT_SIZE,
  WRITE_OUT_SIZE,
} from "../../../src/fuse/protocol.ts";
import type { Exchange } from "./corpus.ts";

const ERRNO_END = 512;
const LINK_MAX = 4095;
/** fuse_i.h: FUSE_NAME_MAX */
const NAME_MAX = 1024;

/** Sizes of answers that have just one. */
const SIZES: Readonly<Record<number, number>> = {
  [Opcode.LOOKUP]: ENTRY_OUT_SIZE,
  [Opcode.MKNOD]: ENTRY_OUT_SIZE,
  [Opcode.MKDIR]: ENTRY_OUT_SIZE,
  [Opcode.SYMLINK]: ENTRY_OUT_SIZE,
  [Opcode.LINK]: ENTRY_OUT_SIZE,
  [Opcode.GETATTR]: ATTR_OUT_SIZE,
  [Opcode.SETATTR]: ATTR_OUT_SIZE,
  [Opcode.STATX]: STATX_OUT_SIZE,
  [Opcode.STATFS]: STATFS_OUT_SIZE,
  [Opcode.OPEN]: OPEN_OUT_SIZE,
  [Opcode.OPENDIR]: OPEN_OUT_SIZE,
  [Opcode.CREATE]: ENTRY_OUT_SIZE + OPEN_OUT_SIZE,
  [Opcode.WRITE]: WRITE_OUT_SIZE,
  [Opcode.COPY_FILE_RANGE]: WRITE_OUT_SIZE,
  [Opcode.LSEEK]: LSEEK_OUT_SIZE,
  [Opcode.GETLK]: LK_OUT_SIZE,
};

/** Largest answers of those whose size varies. */
function limit({ opcode, body }: Exchange): number | undefined {
  if (opcode === Opcode.READLINK) return LINK_MAX;
  if (opcode === Opcode.IOCTL) return IOCTL_OUT_SIZE + body.readUInt32LE(IOCTL_IN.out_size);
  const reads = [Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS] as readonly number[];
  return reads.includes(opcode) ? body.readUInt32LE(READ_IN.size) : undefined;
}

/** Why the kernel would refuse the answer to a request; undefined if it takes it. */
export function objection(asked: Exchange, error: number, body: Buffer): string | undefined {
  if (error !== 0) {
    if (error > 0 || error <= -ERRNO_END) return `error ${error} is none`;
    return body.length === 0 ? undefined : "an error with a body";
  }
  const { opcode } = asked;
  const exact = SIZES[opcode];
  if (exact !== undefined) return body.length === exact ? undefined : `${body.length} bytes`;
  if (opcode === Opcode.GETXATTR || opcode === Opcode.LISTXATTR) {
    const room = asked.body.readUInt32LE(GETXATTR_IN.size);
    const fits = room === 0 ? body.length === GETXATTR_OUT_SIZE : body.length <= room;
    return fits ? undefined : `${body.length} bytes of an attribute, not ${room}`;
  }
  const most = limit(asked);
  if (most === undefined) return body.length === 0 ? undefined : "a body that nobody asked for";
  if (body.length > most) return `${body.length} bytes instead of ${most} at most`;
  if (opcode === Opcode.READDIR) return entriesObjection(body, 0);
  return opcode === Opcode.READDIRPLUS ? entriesObjection(body, ENTRY_OUT_SIZE) : undefined;
}

/** parse_dirfile and parse_dirplusfile of fs/fuse/readdir.c */
function entriesObjection(body: Buffer, entryBytes: number): string | undefined {
  let at = 0;
  while (at < body.length) {
    const dirent = at + entryBytes;
    if (dirent + DIRENT_NAME_OFFSET > body.length) return "a directory entry is cut off";
    const length = body.readUInt32LE(dirent + DIRENT.namelen);
    if (length === 0 || length > NAME_MAX) return `a name of ${length} bytes`;
    at += (entryBytes + DIRENT_NAME_OFFSET + length + 7) & ~7;
    if (at > body.length) return "a directory entry reaches too far";
    const name = dirent + DIRENT_NAME_OFFSET;
    if (body.subarray(name, name + length).includes(0x2f)) return "a name with a slash";
    if (body.subarray(name, name + length).includes(0)) return "a name with a zero";
  }
  return undefined;
}

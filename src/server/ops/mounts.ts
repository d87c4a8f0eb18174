/**
 * mount(2) and umount2(2) on the HOST, where the export allows the class sysmount.
 * Both may take long (a server of NFS that is silent, a disk) and run in a thread.
 *
 * One that is in doubt (doubt.ts) is told by the mount that is at its target: an id
 * noted before that is not there any more has been covered, or taken away.
 */
import { SYS } from "../../sys/arch.ts";
import { PathBuffer } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, close } from "../../sys/open.ts";
import { STATFS } from "../../sys/stat.ts";
import { MOUNT_PROPAGATION, MountFlag, UmountFlag } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { MOUNT_DATA_MAX, NAME_MAX, PATH_MAX } from "../../wire/limits.ts";
import { MOUNT_IN } from "../calls.ts";
import { lastName, openParent, openPlace, readOptionalPlace, readPlace } from "../places.ts";
import { LATER, type Session } from "../session.ts";
import { EMPTY_PATH } from "../status.ts";
import { finishSync, replyStatfs } from "./attributes.ts";
import { isAnother, mountId, pathOf, refusal, Texts } from "./mounting.ts";

/** Those of a mount that is there already. */
const OF_ONE_THAT_IS_THERE = MountFlag.REMOUNT | MOUNT_PROPAGATION;
/** Those of what is at a place. */
const OF_A_PLACE = OF_ONE_THAT_IS_THERE | MountFlag.BIND | MountFlag.MOVE;
const MOUNT_FLAGS_ALL = Object.values(MountFlag).reduce<number>((all, flag) => all | flag, 0);
const names = new PathBuffer(1);

/**
 * `[from or 0, fromPath, node, path, source, type, flags]`, payload: data → nothing.
 * What is mounted (bind, move) is the place `from`, or else the text `source`. A new file
 * system has the text, and `from` is the directory that paths in its data begin at. Empty
 * texts and data are NULL.
 */
export function mountOp(session: Session): number {
  const from = readOptionalPlace(session);
  const target = readPlace(session);
  const { reader, transport } = session;
  const source = reader.latin1(PATH_MAX);
  const type = reader.latin1(NAME_MAX);
  const flags = reader.uint32() & MOUNT_FLAGS_ALL;
  reader.finish();
  const { payloadStart, payloadLength } = transport;
  if (payloadLength > MOUNT_DATA_MAX) throw new ProtocolError("mount data is too long");
  if (source.includes("\0") || type.includes("\0")) throw new ProtocolError("text has a NUL");
  const refused = refusal(session);
  if (refused !== 0) return refused;
  const tree = session.attached;
  const at = openPlace(tree, target);
  if (at < 0) return -at;
  const mounts = (flags & OF_ONE_THAT_IS_THERE) === 0;
  if (mounts && isAnother(session, mountId(at, EMPTY_PATH, AT_EMPTY_PATH))) {
    close(at);
    finishSync(session, 0);
    return 0;
  }
  const what = from === undefined ? 0 : openPlace(tree, from);
  if (what < 0) {
    close(at);
    return -what;
  }
  const memory = new Texts();
  const path = pathOf(at);
  const isIn = from !== undefined && (flags & OF_A_PLACE) === 0;
  const args = [
    ...(isIn ? [what] : []),
    from === undefined || isIn ? memory.put(source) : memory.put(`/proc/self/fd/${what}`),
    memory.put(`/proc/self/fd/${at}`),
    memory.put(type),
    flags,
    memory.putBytes(reader.bytes.subarray(payloadStart, payloadStart + payloadLength)),
  ];
  session.services.calls.start(session, isIn ? MOUNT_IN : SYS.mount, args, {
    closes: at,
    frees: memory.region,
    ends: () => {
      if (from !== undefined) close(what);
    },
    done: (result) => {
      if (result === 0 && mounts) session.services.mounts.changedByClient(path);
      finishSync(session, result);
    },
  });
  return LATER;
}

/** `[node, path]` → as STATFS, with fsid behind ffree: of whatever is mounted at the place */
export function placeStatfs(session: Session): number {
  const place = readPlace(session);
  session.reader.finish();
  const fd = openPlace(session.attached, place);
  if (fd < 0) return -fd;
  const errno = replyStatfs(session, fd, [STATFS.fsid]);
  close(fd);
  return errno;
}

/** `[node, path, flags]` → nothing */
export function umountOp(session: Session): number {
  const target = readPlace(session);
  const flags = session.reader.uint32();
  session.reader.finish();
  if ((flags & ~UmountFlag.ALL) !== 0) return E.EINVAL;
  const refused = refusal(session);
  if (refused !== 0) return refused;
  // By its name: a descriptor of what is mounted would make it busy.
  const parent = openParent(session.attached, target);
  if (parent < 0) return -parent;
  const name = lastName(target);
  if ((flags & UmountFlag.EXPIRE) !== 0) {
    // Whoever looks at the mount makes it as if new again, so there is nothing to tell by.
    if (session.doubtSinceNs !== 0) {
      close(parent);
      return E.EIO;
    }
  } else if (isAnother(session, mountId(parent, names.putLatin1(0, name), AT_SYMLINK_NOFOLLOW))) {
    close(parent);
    finishSync(session, 0);
    return 0;
  }
  const memory = new Texts();
  const path = memory.put(`/proc/self/fd/${parent}/${name}`);
  // Nothing of the client's is followed on the HOST.
  session.services.calls.start(session, SYS.umount2, [path, flags | UmountFlag.NOFOLLOW], {
    closes: parent,
    frees: memory.region,
    done: (result) => {
      if (result === 0) session.services.mounts.changedByClient();
      finishSync(session, result);
    },
  });
  return LATER;
}

/** What is mounted on the HOST beneath a session's root, for clients that show each mount as one. */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { NAME_MAX, PATH_MAX } from "../../wire/limits.ts";
import { Writer } from "../../wire/writer.ts";
import type { HostMounts } from "../mounts/hostmounts.ts";
import type { HostMount } from "../mounts/mountlines.ts";
import { askingFor, mayHang } from "../mounts/mountplaces.ts";
import { LATER, type Session } from "../session.ts";
import { ENTRY_RESULTS, writeEntry } from "./entries.ts";

const PAYLOAD_BYTES = 256 * 1024;
/** One encoded mount: five integers, a path, a type, a source. */
const MOUNT_BYTES_MAX = 1 + 5 * 5 + 3 * 3 + PATH_MAX + NAME_MAX + PATH_MAX;

const encoded = new Writer(allocate(PAYLOAD_BYTES));

/** `[start]` → generation, next; payload: the mounts from `start` on, as many as fit */
export function mounts(session: Session): number {
  const start = session.reader.uint32();
  session.reader.finish();
  const { mounts: known, path } = session.attached;
  known?.refresh();
  encoded.at = 0;
  const skip = path === "/" ? 1 : Buffer.byteLength(path) + 1;
  const next = known === undefined ? 0 : encode(known, start, skip);
  const w = session.reply(2);
  w.uint(known?.generation ?? 0);
  w.uint(next);
  if (encoded.at === 0) session.send();
  else session.transport.endCopy(encoded.bytes, encoded.at);
  return 0;
}

/** Encodes mounts until there is no more room; the number of the next one, or 0. `skip`: bytes of the root's path. */
function encode(known: HostMounts, start: number, skip: number): number {
  const { visible } = known;
  for (let i = start; i < visible.length; i++) {
    if (encoded.at + MOUNT_BYTES_MAX > PAYLOAD_BYTES) return i;
    encodeMount(known, visible[i] as HostMount, skip);
  }
  return 0;
}

function encodeMount(known: HostMounts, mount: HostMount, skip: number): void {
  encoded.array(8);
  encoded.uint(mount.number);
  encoded.uint(known.parentOf(mount));
  encoded.uint(mount.flags);
  encoded.uint(mount.rootType);
  encoded.uint(mount.device);
  encoded.latin1(mount.path.slice(skip, skip + PATH_MAX));
  encoded.latin1(mount.type.slice(0, NAME_MAX));
  encoded.latin1(mount.source.slice(0, PATH_MAX));
}

/** `[mount]` → entry of its root */
export function mountRoot(session: Session): number {
  const mount = session.reader.uint32();
  session.reader.finish();
  const asked = session.attached.mounts?.unknown(mount);
  if (asked === undefined || !mayHang(asked)) return replyRoot(session, mount);
  const asking = askingFor(asked);
  if (typeof asking === "number") return -asking;
  const { args, dirfd, memory } = asking;
  // Once there was an answer, the next will not be long in coming.
  const done = (result: number) => {
    const errno = result < 0 ? -result : replyRoot(session, mount);
    if (errno > 0) session.fail(errno);
  };
  session.services.calls.start(session, SYS.statx, args, { closes: dirfd, frees: memory, done });
  return LATER;
}

function replyRoot(session: Session, mount: number): number {
  const row = session.attached.mounts?.root(mount) ?? -E.ENOENT;
  if (row < 0) return -row;
  writeEntry(session, session.reply(ENTRY_RESULTS), row);
  session.send();
  return 0;
}

/** `[mount]` → nothing: the client has no use for it any more */
export function mountEnd(session: Session): number {
  const mount = session.reader.uint32();
  session.reader.finish();
  session.attached.mounts?.end(mount);
  session.reply(0);
  session.send();
  return 0;
}

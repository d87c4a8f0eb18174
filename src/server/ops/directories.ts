/** Reading directories. */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { lseek, SEEK_SET } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "../../sys/open.ts";
import { DIRENT, DT_FIFO, DT_SOCK, getdents64 } from "../../sys/tree.ts";
import { ATTRIBUTE_FIELDS, FileType } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { HANDLES_MAX, PAYLOAD_MAX } from "../../wire/limits.ts";
import { Writer } from "../../wire/writer.ts";
import { LATER, type Session } from "../session.ts";
import { identify, mode, statName } from "../status.ts";
import type { Directory } from "../tree.ts";
import { finishSync } from "./attributes.ts";

const ENTRIES_BYTES = 256 * 1024;
/** One encoded entry: attributes of at most nine bytes each, and a name. */
const ENTRY_MAX = 9 * (ATTRIBUTE_FIELDS + 6) + 260;
const DOT = 0x2e;

const entries = allocate(64 * 1024);
const encoded = new Writer(allocate(ENTRIES_BYTES));
const ROUND = 7;
/** Cookies are positions, of 63 bits. */
const COOKIE_HIGH_MAX = 0x7fff_ffff;

/** What the client does with an entry takes this much room there, rounded up to 8. */
interface Budget {
  left: number;
  overhead: number;
}

const budget: Budget = { left: 0, overhead: 0 };

function directoryFor(session: Session, id: number, node: number): Directory | number {
  const { directories, reach } = session.attached;
  const known = directories.get(id);
  if (known !== undefined) return known;
  if (node < 0) return E.ESTALE;
  if (directories.size >= HANDLES_MAX) return E.ENFILE;
  const fd = reach.open(node, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -fd;
  const mount = session.attached.nodes.shownIn(node);
  const directory = { mount, fd, high: 0, low: 0 };
  directories.set(id, directory);
  return directory;
}

/** Moves to the entry after a cookie; 0 or -errno. */
function seekTo(directory: Directory, high: number, low: number): number {
  if (directory.high === high && directory.low === low) return 0;
  if (high > COOKIE_HIGH_MAX) return -E.EINVAL;
  const result = lseek(directory.fd, (BigInt(high) << 32n) | BigInt(low), SEEK_SET);
  if (result < 0) return result;
  directory.high = high;
  directory.low = low;
  return 0;
}

/**
 * `[directory, node, cookie, room, plus]` → entries, atEnd (0|1); payload: the
 * entries, one array each: `[cookie, type, name, ino]` or, where the client asked
 * for attributes and the entry has them, `[cookie, type, name, node, …attributes]`.
 *
 * `directory` is a number the client chose for its open directory. `room` is
 * what the client can take, an entry costing `plus` or, without attributes,
 * 24 bytes and its name, rounded up to 8; `plus` 0 asks for no attributes.
 */
export function readdir(session: Session): number {
  const { reader } = session;
  const id = reader.uint32();
  const node = session.node();
  reader.uint64();
  const { high, low } = reader;
  const room = reader.uint32();
  const plus = reader.uint32();
  reader.finish();
  if (room > PAYLOAD_MAX || plus > 4096) throw new ProtocolError("READDIR asks for too much");
  const directory = directoryFor(session, id, node);
  if (typeof directory === "number") return directory;
  // Registered first: the client may remember the entries from now on.
  if (node >= 0) session.attached.watched.register(node, directory.fd);
  const moved = seekTo(directory, high, low);
  if (moved < 0) return -moved;
  budget.left = room;
  budget.overhead = plus === 0 ? PLAIN_OVERHEAD : plus;
  const count = fill(session, directory, node, plus !== 0);
  if (count < 0) return -count;
  const w = session.reply(2);
  w.uint(count);
  w.uint(ended ? 1 : 0);
  if (encoded.at === 0) session.send();
  else session.transport.endCopy(encoded.bytes, encoded.at);
  return 0;
}

const PLAIN_OVERHEAD = 24;

/** Whether `fill` reached the end of its directory. */
let ended = false;

/** Encodes entries until the budget or the directory is spent; their number or -errno. */
function fill(session: Session, directory: Directory, node: number, plus: boolean): number {
  encoded.at = 0;
  ended = false;
  let count = 0;
  while (true) {
    const perEntry = budget.overhead + 16;
    const want = Math.min(entries.size, Math.max(2048, (budget.left / perEntry) * 40));
    const got = getdents64(directory.fd, entries.address, Math.floor(want));
    // ENOENT: the directory was removed while it was open, and has no entries.
    ended = got === 0 || got === -E.ENOENT;
    if (ended || (got < 0 && count > 0)) return count;
    if (got < 0) return got;
    for (let at = 0; at < got; ) {
      const length = entries.view.getUint16(at + DIRENT.reclen, true);
      if (!addEntry(session, directory, node, at, plus)) {
        // The rest of this read is taken again next time, from the last cookie.
        lseek(directory.fd, (BigInt(directory.high) << 32n) | BigInt(directory.low), SEEK_SET);
        return count > 0 ? count : -E.EINVAL;
      }
      count++;
      at += length;
      directory.low = entries.view.getUint32(at - length + DIRENT.off, true);
      directory.high = entries.view.getUint32(at - length + DIRENT.off + 4, true);
    }
  }
}

/** Encodes the directory entry at `at`; false when the client has no room for it. */
function addEntry(
  session: Session,
  directory: Directory,
  node: number,
  at: number,
  plus: boolean,
): boolean {
  const { bytes, view } = entries;
  const nameAt = at + DIRENT.name;
  let end = nameAt;
  while (bytes[end] !== 0) end++;
  const cost = (budget.overhead + end - nameAt + ROUND) & ~ROUND;
  if (cost > budget.left || encoded.at + ENTRY_MAX > ENTRIES_BYTES) return false;
  budget.left -= cost;
  const type = bytes[at + DIRENT.type] as number;
  const dots =
    bytes[nameAt] === DOT &&
    (end === nameAt + 1 || (end === nameAt + 2 && bytes[nameAt + 1] === DOT));
  // Sockets and FIFOs are left to LOOKUP, which prepares what they need (DESIGN §6).
  const described =
    plus &&
    !dots &&
    type !== DT_SOCK &&
    type !== DT_FIFO &&
    describeEntry(session, directory, node, at, nameAt, end);
  if (described) return true;
  encoded.array(4);
  encoded.uint64(view.getUint32(at + DIRENT.off + 4, true), view.getUint32(at + DIRENT.off, true));
  encoded.uint(type);
  encoded.blob(bytes, nameAt, end);
  encoded.uint64(view.getUint32(at + DIRENT.ino + 4, true), view.getUint32(at + DIRENT.ino, true));
  return true;
}

function describeEntry(
  session: Session,
  directory: Directory,
  node: number,
  at: number,
  nameAt: number,
  end: number,
): boolean {
  if (node < 0 || statName(directory.fd, entries.address + nameAt) !== 0) return false;
  // Where the file system does not tell types in its directories.
  const type = mode() & FileType.MASK;
  if (type === FileType.SOCKET || type === FileType.FIFO) return false;
  const { nodes, reach } = session.attached;
  const { bytes, view } = entries;
  const row = nodes.intern(identify(), node, bytes.latin1Slice(nameAt, end));
  if (row < 0) return false;
  session.countLookup(row);
  if (type === FileType.DIRECTORY) {
    session.attached.watched.registerEntry(row, node, directory.fd, entries.address + nameAt);
  }
  encoded.array(4 + ATTRIBUTE_FIELDS);
  encoded.uint64(view.getUint32(at + DIRENT.off + 4, true), view.getUint32(at + DIRENT.off, true));
  encoded.uint(bytes[at + DIRENT.type] as number);
  encoded.blob(bytes, nameAt, end);
  encoded.uint64(nodes.high(row), row);
  reach.writeAttributes(encoded, row);
  return true;
}

/** `[node, dataOnly (0|1)]` → nothing, once the directory is on the disk */
export function fsyncdir(session: Session): number {
  const node = session.node();
  const dataOnly = session.reader.uint() !== 0;
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const fd = session.attached.reach.open(node, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -fd;
  session.services.calls.start(session, dataOnly ? SYS.fdatasync : SYS.fsync, [fd], {
    closes: fd,
    done: (result) => finishSync(session, result),
  });
  return LATER;
}

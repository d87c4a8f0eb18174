/**
 * The new mount API on the HOST: fsopen(2), fspick(2), fsconfig(2), fsmount(2),
 * open_tree(2), move_mount(2), mount_setattr(2). What they give descriptors for are
 * objects of the session (mountobjects.ts). All may take long and run in a thread.
 */
import { type CallName, SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import {
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  FSPICK_CLOEXEC,
  FSPICK_EMPTY_PATH,
  MOUNT_ATTR,
  MOUNT_ATTR_STRUCT_SIZE,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
} from "../../sys/fsmount.ts";
import { AT_EMPTY_PATH, close, O_CLOEXEC } from "../../sys/open.ts";
import { FsConfig, MountCall, MoveMount, OpenTree } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { MOUNT_DATA_MAX, MOUNT_LOG_MAX } from "../../wire/limits.ts";
import { BIND_NETNS } from "../calls.ts";
import { openPlace, readOptionalPlace } from "../places.ts";
import { LATER, type Session } from "../session.ts";
import { EMPTY_PATH } from "../status.ts";
import { isAnother, mountId, pathOf, refusal, Texts } from "./mounting.ts";

const NO_FD = -1;
const TREE_FLAGS = OpenTree.CLONE | OpenTree.NO_AUTOMOUNT | OpenTree.RECURSIVE;
const MOVE_FLAGS = MoveMount.SET_GROUP | MoveMount.BENEATH;

/** A request as it came, its descriptors owned by the call. */
interface Call {
  /** Of the object, or NO_FD. */
  readonly object: number;
  /** Of the place, or NO_FD. */
  readonly place: number;
  readonly flags: number;
  readonly values: readonly [number, number, number];
  readonly payload: Uint8Array;
  readonly memory: Texts;
}

/** The system call that a request asks for, and what becomes of its result. */
interface Made {
  /** BIND_NETNS is none of the kernel's, but several in one (call.worker.ts). */
  readonly name: CallName | typeof BIND_NETNS;
  readonly args: readonly number[];
  /** Whether it gives a descriptor, or bytes in memory. */
  readonly gives?: "object" | "text";
}

const MAKERS: Readonly<Record<number, (call: Call) => Made | number>> = {
  [MountCall.FSOPEN]: ({ memory, payload }) => {
    return { name: "fsopen", args: [memory.putBytes(payload), FSOPEN_CLOEXEC], gives: "object" };
  },
  [MountCall.FSPICK]: ({ place }) => {
    const flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
    return { name: "fspick", args: [place, EMPTY_PATH, flags], gives: "object" };
  },
  [MountCall.FSCONFIG]: fsconfig,
  [MountCall.FSMOUNT]: ({ object, values: [attributes] }) => {
    return { name: "fsmount", args: [object, FSMOUNT_CLOEXEC, attributes], gives: "object" };
  },
  [MountCall.OPEN_TREE]: ({ object, place, flags }) => {
    if ((flags & ~TREE_FLAGS) !== 0) return E.EINVAL;
    const args = [place === NO_FD ? object : place, EMPTY_PATH, flags | AT_EMPTY_PATH | O_CLOEXEC];
    return { name: "open_tree", args, gives: "object" };
  },
  [MountCall.MOVE_MOUNT]: ({ object, place, flags }) => {
    if ((flags & ~MOVE_FLAGS) !== 0) return E.EINVAL;
    const all = flags | MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return { name: "move_mount", args: [object, EMPTY_PATH, place, EMPTY_PATH, all] };
  },
  [MountCall.SETATTR]: ({ object, place, flags, values, memory }) => {
    if ((flags & ~OpenTree.RECURSIVE) !== 0) return E.EINVAL;
    const bytes = new Uint8Array(MOUNT_ATTR_STRUCT_SIZE);
    const view = new DataView(bytes.buffer);
    for (const [i, at] of [
      MOUNT_ATTR.attr_set,
      MOUNT_ATTR.attr_clr,
      MOUNT_ATTR.propagation,
    ].entries()) {
      view.setBigUint64(at, BigInt(values[i] as number), true);
    }
    const on = place === NO_FD ? object : place;
    const args = [on, EMPTY_PATH, flags | AT_EMPTY_PATH, memory.putBytes(bytes), bytes.length];
    return { name: "mount_setattr", args };
  },
  [MountCall.NETNS]: ({ place }) => {
    return place === NO_FD ? E.EINVAL : { name: BIND_NETNS, args: [place] };
  },
  [MountCall.LOG]: ({ object, memory }) => {
    const text = memory.putBytes(new Uint8Array(MOUNT_LOG_MAX));
    return { name: "read", args: [object, text, MOUNT_LOG_MAX], gives: "text" };
  },
};

/** `flags` is the command; payload: the key, NUL, the value. */
function fsconfig({ object, place, flags: command, payload, memory }: Call): Made | number {
  const end = payload.indexOf(0);
  const key = memory.putBytes(end < 0 ? payload : payload.subarray(0, end));
  const value = end < 0 ? payload.subarray(payload.length) : payload.subarray(end + 1);
  const args = (number: number, text: number, aux: number): Made => {
    return { name: "fsconfig", args: [object, number, key, text, aux] };
  };
  switch (command) {
    case FsConfig.SET_FLAG:
      return args(command, 0, 0);
    case FsConfig.SET_STRING:
      return args(command, memory.putText(value), 0);
    case FsConfig.SET_BINARY:
      return args(command, memory.putBytes(value), value.length);
    case FsConfig.SET_PATH:
    case FsConfig.SET_PATH_EMPTY:
      return args(FsConfig.SET_PATH_EMPTY, EMPTY_PATH, place);
    case FsConfig.SET_FD:
      return args(command, 0, place);
    case FsConfig.CREATE:
    case FsConfig.RECONFIGURE:
    case FsConfig.CREATE_EXCL:
      return { name: "fsconfig", args: [object, command, 0, 0, 0] };
    default:
      return E.EOPNOTSUPP;
  }
}

/**
 * `[call, object or 0, node or 0, path, flags, value, value, value]`, payload: text →
 * the new object or 0, text
 */
export function mountCall(session: Session): number {
  const { reader, transport } = session;
  const call = reader.uint();
  const number = reader.uint();
  const where = readOptionalPlace(session);
  const flags = reader.uint32();
  const values = [reader.uint(), reader.uint(), reader.uint()] as const;
  reader.finish();
  const { payloadStart, payloadLength } = transport;
  if (payloadLength > MOUNT_DATA_MAX) throw new ProtocolError("mount data is too long");
  const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  const refused = refusal(session);
  if (refused !== 0) return refused;
  if (call === MountCall.CLOSE) return answer(session, session.mountObjects.remove(number), "");
  const maker = MAKERS[call];
  if (maker === undefined) return E.ENOSYS;
  const place = where === undefined ? NO_FD : openPlace(session.attached, where);
  if (where !== undefined && place < 0) return -place;
  const puts = call === MountCall.MOVE_MOUNT || call === MountCall.NETNS;
  const isDone = puts && hasMoved(session, place);
  const object = number === 0 || isDone ? NO_FD : session.mountObjects.borrow(number);
  const memory = new Texts();
  const made =
    number !== 0 && !isDone && object < 0
      ? -object
      : maker({ object, place, flags, values, payload, memory });
  const letGo = () => {
    if (place >= 0) close(place);
    if (object >= 0) close(object);
  };
  if (typeof made === "number" || isDone) {
    letGo();
    memory.free();
    return typeof made === "number" && !isDone ? made : answer(session, 0, "");
  }
  const { name, args, gives } = made;
  const path = puts ? pathOf(place) : undefined;
  session.services.calls.start(session, name === BIND_NETNS ? name : SYS[name], args, {
    done: (result) => {
      const text = gives === "text" && result > 0 ? memory.text(args[1] as number, result) : "";
      memory.free();
      letGo();
      if (path !== undefined && result >= 0) session.services.mounts.changedByClient(path);
      const given = gives === "object" && result >= 0;
      const { mountObjects, lives } = session;
      const errno = answer(
        session,
        given ? mountObjects.add(result, lives) : Math.min(result, 0),
        text,
      );
      if (errno !== 0) session.fail(errno);
    },
  });
  return LATER;
}

/** Whether an earlier run of the request in doubt has put a mount at the place. */
function hasMoved(session: Session, place: number): boolean {
  return place >= 0 && isAnother(session, mountId(place, EMPTY_PATH, AT_EMPTY_PATH));
}

/** Answers with an object's number or 0, and a text; an errno where the number is -errno. */
function answer(session: Session, object: number, text: string): number {
  if (object < 0) return -object;
  const w = session.reply(2);
  w.uint(object);
  w.latin1(text);
  session.send();
  return 0;
}

/**
 * The mount API that fsopen(2) began, under a supervisor. It makes mounts that are nowhere
 * yet, so where they will be is not known when it matters on which machine they are made.
 * Programs use mount(2), which says it all at once, where the kernel does not know the new
 * calls; so here it does not, but for what is this machine's whatever happens.
 */
import { E } from "../sys/errno.ts";
import {
  FSPICK_EMPTY_PATH,
  FSPICK_SYMLINK_NOFOLLOW,
  MOUNT_ATTR,
  MOUNT_ATTR_STRUCT_SIZE,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_F_SYMLINKS,
  MOVE_MOUNT_T_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  OPEN_TREE_CLONE,
} from "../sys/fsmount.ts";
import { allocate } from "../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_RECURSIVE,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_NOFOLLOW,
} from "../sys/open.ts";
import { type Call, GO_ON, onHost, type Verdict } from "./call.ts";
import { CAP_SYS_ADMIN, isFuse, moveOnHost } from "./mount.ts";
import type { Found } from "./shares.ts";

const attributes = allocate(MOUNT_ATTR_STRUCT_SIZE);

function isExempt({ caller }: Call): boolean {
  return caller.isPrivate || !caller.has(CAP_SYS_ADMIN);
}

/** fsopen(type, flags) */
export async function fsopenCall(call: Call): Promise<Verdict> {
  if (isExempt(call)) return GO_ON;
  const type = call.caller.text(call.args.address(0));
  return typeof type === "number" || isFuse(type) ? GO_ON : -E.ENOSYS;
}

/** fspick(dirfd, path, flags) */
export async function fspickCall(call: Call): Promise<Verdict> {
  if (isExempt(call)) return GO_ON;
  const flags = call.args.arg32(2);
  const follows = (flags & FSPICK_SYMLINK_NOFOLLOW) === 0;
  const found = await find(call, 0, (flags & FSPICK_EMPTY_PATH) !== 0, follows);
  return found === undefined || found.isOurs ? GO_ON : -E.ENOSYS;
}

/** open_tree(dirfd, path, flags): without OPEN_TREE_CLONE it is an open with O_PATH. */
export async function openTreeCall(call: Call): Promise<Verdict> {
  const flags = call.args.arg32(2);
  if ((flags & OPEN_TREE_CLONE) === 0 || isExempt(call)) return GO_ON;
  const follows = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  const found = await find(call, 0, (flags & AT_EMPTY_PATH) !== 0, follows);
  return found === undefined ? GO_ON : -E.ENOSYS;
}

/** move_mount(fromDirfd, from, toDirfd, to, flags): what is on a share moves on the HOST. */
export async function moveMountCall(call: Call): Promise<Verdict> {
  if (isExempt(call)) return GO_ON;
  const flags = call.args.arg32(4);
  const isAnywhere = (flag: number) => (flags & flag) !== 0;
  const from = await find(
    call,
    0,
    isAnywhere(MOVE_MOUNT_F_EMPTY_PATH),
    isAnywhere(MOVE_MOUNT_F_SYMLINKS),
  );
  const to = await find(
    call,
    2,
    isAnywhere(MOVE_MOUNT_T_EMPTY_PATH),
    isAnywhere(MOVE_MOUNT_T_SYMLINKS),
  );
  // A mount of this machine's, or a copy of one, is put onto a share here.
  if (from === undefined || from.isOurs || to === undefined || to.isOurs) return GO_ON;
  if (from.place.mount.source !== to.place.mount.source) return -E.EXDEV;
  return call.args.isValid() ? moveOnHost(call, from.place, to.place) : GO_ON;
}

/** mount_setattr(dirfd, path, flags, attributes, size) */
export async function mountSetattrCall(call: Call): Promise<Verdict> {
  const { args, caller } = call;
  if (isExempt(call)) return GO_ON;
  const flags = args.arg32(2);
  const follows = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  const found = await find(call, 0, (flags & AT_EMPTY_PATH) !== 0, follows);
  if (found === undefined || found.isOurs) return GO_ON;
  // What is shorter or longer than we know it the kernel refuses, or knows better.
  if (args.arg32(4) !== MOUNT_ATTR_STRUCT_SIZE) return GO_ON;
  const got = caller.get(args.address(3), attributes.address, MOUNT_ATTR_STRUCT_SIZE);
  if (got < 0) return got;
  const value = (at: number) => Number(attributes.view.getBigUint64(at, true));
  const { mount, path } = found.place;
  if (!args.isValid()) return GO_ON;
  return onHost(call, mount, (calls) =>
    calls.setAttributes(path, {
      set: value(MOUNT_ATTR.attr_set),
      clear: value(MOUNT_ATTR.attr_clr),
      propagation: value(MOUNT_ATTR.propagation),
      isRecursive: (flags & AT_RECURSIVE) !== 0,
    }),
  );
}

/** What the descriptor and the path, arguments `at` and the next, mean on a share. */
async function find(
  { args, caller, shares }: Call,
  at: number,
  mayBeEmpty: boolean,
  follows: boolean,
): Promise<Found | undefined> {
  const path = caller.text(args.address(at + 1));
  if (typeof path === "number") return undefined;
  const isDescriptor = path === "" && mayBeEmpty;
  const fd = isDescriptor
    ? caller.descriptor(args.arg32(at))
    : caller.open(args.arg32(at), path, follows ? 0 : O_NOFOLLOW);
  if (fd < 0) return undefined;
  try {
    return await shares.find(fd);
  } finally {
    close(fd);
  }
}

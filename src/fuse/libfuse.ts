/**
 * Mounting and unmounting by libfuse3, which knows how to (fuse_lowlevel.h):
 * mount(2) as root, fusermount3 for others. The protocol itself is spoken by us
 * on the descriptor (DESIGN §4), so libfuse's session has no operations.
 */
import { dlopen, type Pointer } from "bun:ffi";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { addr, i32, u64 } from "../sys/libc.ts";
import { allocate } from "../sys/memory.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount2 } from "../sys/mount.ts";
import { close } from "../sys/open.ts";

/** struct fuse_args { int argc; char **argv; int allocated; } (fuse_opt.h) */
const FUSE_ARGS = { argc: 0, argv: 8, allocated: 16 } as const;
const FUSE_ARGS_SIZE = 24;
const POINTER_BYTES = 8;
/** An empty struct fuse_lowlevel_ops: its first members alone are passed. */
const OPS_BYTES = 64;

const SYMBOLS = {
  fuse_session_new: { args: [addr, addr, u64, addr], returns: "ptr" },
  fuse_session_mount: { args: ["ptr", addr], returns: i32 },
  fuse_session_fd: { args: ["ptr"], returns: i32 },
  fuse_session_unmount: { args: ["ptr"], returns: "void" },
} as const;

/** libfuse's functions; throws a sentence where it is not installed. */
export function loadLibfuse() {
  try {
    return dlopen("libfuse3.so.3", SYMBOLS).symbols;
  } catch {
    throw new Error("Cannot load libfuse3.so.3: install Debian's package libfuse3-3");
  }
}

function strings(list: readonly string[]): { array: number; addresses: number[] } {
  const bytes = list.map((text) => Buffer.from(`${text}\0`));
  const total = bytes.reduce((sum, part) => sum + part.length, 0);
  const region = allocate(list.length * POINTER_BYTES + total);
  let at = list.length * POINTER_BYTES;
  const addresses = bytes.map((part, i) => {
    region.bytes.set(part, at);
    const address = region.address + at;
    region.view.setBigUint64(i * POINTER_BYTES, BigInt(address), true);
    at += part.length;
    return address;
  });
  return { array: region.address, addresses };
}

/**
 * A mount that another process made and whose descriptor this one was given:
 * libfuse knows nothing of it, so what it would do to unmount is done here.
 */
export function adoptFuse(fd: number, target: string): FuseMount {
  let isMounted = true;
  return {
    fd,
    unmount: () => {
      if (!isMounted) return;
      isMounted = false;
      close(fd);
      if (umount2(cstring(target), MNT_DETACH | UMOUNT_NOFOLLOW) !== -E.EPERM) return;
      Bun.spawnSync(["fusermount3", "-u", "-z", "--", target]);
    },
  };
}

/** A file system mounted by libfuse. */
export interface FuseMount {
  /** Descriptor of /dev/fuse, open until `unmount`. */
  fd: number;
  /** Takes the mount away, lazily if it is busy, and closes the descriptor. */
  unmount(): void;
}

/**
 * Mounts at `target` with `options` (the part after `-o`, comma-separated).
 * libfuse says on stderr why it cannot; this throws a sentence.
 */
export function mountFuse(target: string, options: string): FuseMount {
  const fuse = loadLibfuse();
  const args = strings(["qtfs", "-o", options]);
  const path = strings([target]).addresses[0] as number;
  const region = allocate(FUSE_ARGS_SIZE + OPS_BYTES);
  region.view.setInt32(FUSE_ARGS.argc, 3, true);
  region.view.setBigUint64(FUSE_ARGS.argv, BigInt(args.array), true);
  const session = fuse.fuse_session_new(
    region.address,
    region.address + FUSE_ARGS_SIZE,
    OPS_BYTES,
    0,
  ) as Pointer | null;
  if (session === null) throw new Error(`Cannot mount with the options ${options}`);
  if (fuse.fuse_session_mount(session, path) !== 0) {
    throw new Error(`Cannot mount at ${target}: libfuse says why above`);
  }
  return {
    fd: fuse.fuse_session_fd(session),
    unmount: () => fuse.fuse_session_unmount(session),
  };
}

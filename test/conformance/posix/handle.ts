/** File handles: name_to_handle_at(2) and open_by_handle_at(2). */
import { addr, i32, libc } from "../../../src/sys/libc.ts";
import { copyOf, type Path, pathAddress, space } from "./arena.ts";
import { AT_FDCWD } from "./constants.ts";
import { opened } from "./descriptors.ts";
import { must } from "./failure.ts";

const c = libc({
  name_to_handle_at: { args: [i32, addr, addr, addr, i32], returns: i32 },
  open_by_handle_at: { args: [i32, addr, i32], returns: i32 },
});

const MAX_HANDLE = 128;

/** struct file_handle, whole: size, type, and the bytes. */
export function nameToHandle(path: Path): Buffer {
  const handle = space(8 + MAX_HANDLE);
  handle.view.setUint32(0, MAX_HANDLE, true);
  const mount = space(4);
  const result = c.name_to_handle_at(AT_FDCWD, pathAddress(path), handle.address, mount.address, 0);
  must("name_to_handle_at", [path], result);
  return Buffer.from(handle.bytes.subarray(0, 8 + handle.view.getUint32(0, true)));
}

/** Opens by handle; `mount` is any descriptor on the same file system. */
export function openByHandle(mount: number, handle: Uint8Array, flags: number): number {
  const result = c.open_by_handle_at(mount, copyOf(handle), flags);
  return opened(must("open_by_handle_at", [flags], result));
}

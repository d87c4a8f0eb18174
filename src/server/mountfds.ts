/** One directory descriptor for each file system, which open_by_handle_at(2) asks for. */
import { E } from "../sys/errno.ts";
import { openByHandleAt } from "../sys/handle.ts";
import { close, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat } from "../sys/open.ts";
import { CURRENT_DIRECTORY } from "./status.ts";

export class MountFds {
  /** By mount as nodes.ts numbers it, then by device as status.ts does. */
  readonly #fds = new Map<number, Map<number, number>>();

  has(mount: number, device: number): boolean {
    return this.#fds.get(mount)?.has(device) === true;
  }

  /** Remembers the file system of an open directory, whose mount and device are given. */
  remember(directory: number, mount: number, device: number): void {
    if (this.has(mount, device)) return;
    const fd = openat(directory, CURRENT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) return;
    const known = this.#fds.get(mount);
    if (known === undefined) this.#fds.set(mount, new Map([[device, fd]]));
    else known.set(device, fd);
  }

  /** Opens the inode of the struct file_handle at an address; its descriptor or -errno. */
  open(mount: number, device: number, fileHandle: number, flags: number): number {
    const fd = this.#fds.get(mount)?.get(device);
    return fd === undefined ? -E.ESTALE : openByHandleAt(fd, fileHandle, flags);
  }

  /** Closes those of one mount. */
  drop(mount: number): void {
    for (const fd of this.#fds.get(mount)?.values() ?? []) close(fd);
    this.#fds.delete(mount);
  }

  close(): void {
    for (const mount of [...this.#fds.keys()]) this.drop(mount);
  }
}

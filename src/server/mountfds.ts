/** One directory descriptor for each file system, which open_by_handle_at(2) asks for. */
import { E } from "../sys/errno.ts";
import { openByHandleAt } from "../sys/handle.ts";
import { close, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat } from "../sys/open.ts";
import { CURRENT_DIRECTORY } from "./status.ts";

export class MountFds {
  /** By device, as status.ts numbers it. */
  readonly #fds = new Map<number, number>();

  has(device: number): boolean {
    return this.#fds.has(device);
  }

  /** Remembers the file system of an open directory, whose device is given. */
  remember(directory: number, device: number): void {
    if (this.#fds.has(device)) return;
    const fd = openat(directory, CURRENT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0) this.#fds.set(device, fd);
  }

  /** Opens the inode of the struct file_handle at an address; its descriptor or -errno. */
  open(device: number, fileHandle: number, flags: number): number {
    const mount = this.#fds.get(device);
    return mount === undefined ? -E.ESTALE : openByHandleAt(mount, fileHandle, flags);
  }

  close(): void {
    for (const fd of this.#fds.values()) close(fd);
    this.#fds.clear();
  }
}

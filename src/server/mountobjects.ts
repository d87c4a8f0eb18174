/**
 * What the new mount API (fsopen(2) and its kin) gives descriptors for: contexts of file
 * systems, and mounts that are nowhere yet. They are this process's and end with it: their
 * numbers are none of those that another process gave.
 */
import { E } from "../sys/errno.ts";
import { close, dup } from "../sys/open.ts";
import { MOUNT_OBJECTS_MAX } from "../wire/limits.ts";

/** Numbers that each process gives before it begins anew. */
const NUMBERS = 2 ** 20;

export class MountObjects {
  readonly #fds = new Map<number, number>();
  #last = 0;

  /** The number of an object open as `fd`, owned from now on, in life `life` of the session; or -errno. */
  add(fd: number, life: number): number {
    if (this.#fds.size >= MOUNT_OBJECTS_MAX) {
      close(fd);
      return -E.EMFILE;
    }
    do this.#last = (this.#last % (NUMBERS - 1)) + 1;
    while (this.#fds.has(life * NUMBERS + this.#last));
    this.#fds.set(life * NUMBERS + this.#last, fd);
    return life * NUMBERS + this.#last;
  }

  /** A descriptor of the object that is the caller's, or -errno. */
  borrow(number: number): number {
    const fd = this.#fds.get(number);
    return fd === undefined ? -E.EBADF : dup(fd);
  }

  /** Closes one; 0 or -errno. */
  remove(number: number): number {
    const fd = this.#fds.get(number);
    if (fd === undefined) return -E.EBADF;
    this.#fds.delete(number);
    close(fd);
    return 0;
  }

  close(): void {
    for (const fd of this.#fds.values()) close(fd);
    this.#fds.clear();
  }
}

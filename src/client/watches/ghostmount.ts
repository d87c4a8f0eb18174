/**
 * The ghosts' own way into a superblock of the mount: a second mount of it at no place, so
 * that users can unmount theirs, and the nodes' file handles, so that nothing need be
 * looked up.
 */
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { cloneMount } from "../../sys/detached.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat,
} from "../../sys/open.ts";
import { readlinkat } from "../../sys/tree.ts";
import { openNode } from "../nodehandle.ts";
import { DOORBELL_PREFIX, HIDDEN_NAME } from "./ghosts.ts";

const NONE = -1;
const PATH_BYTES = 4096;

const paths = new PathBuffer(1);
const linkText = allocate(PATH_BYTES);

export class GhostMount {
  /** The superblock's device number, the minor in the lower 20 bits. */
  readonly device: number;
  /** Root of the second mount, opened for handles to be looked up on. */
  readonly #root: number;
  #hidden = NONE;
  /** Paths of watched nodes, relative to the root, as they were when that began. */
  readonly #paths = new Map<string, string>();

  private constructor(device: number, root: number) {
    this.device = device;
    this.#root = root;
  }

  /** Of what is mounted at `target`; undefined where that is not allowed. */
  static open(target: string, device: number): GhostMount | undefined {
    const clone = cloneMount(AT_FDCWD, cstring(target));
    if (clone < 0) return undefined;
    const root = openat(clone, cstring("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    close(clone);
    return root < 0 ? undefined : new GhostMount(device, root);
  }

  close(): void {
    if (this.#hidden >= 0) close(this.#hidden);
    close(this.#root);
  }

  /** Has the reactor look into the channel. */
  ring(): void {
    const name = cstring(`${DOORBELL_PREFIX}${this.device}`);
    const fd = openat(this.#root, name, O_PATH | O_CLOEXEC, 0);
    if (fd >= 0) close(fd);
  }

  /** An O_PATH descriptor of the root, or -errno; to be closed. */
  root(): number {
    return openat(this.#root, cstring("."), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  }

  /** Remembers where a node is that has begun to be watched. */
  learn(high: number, low: number): void {
    const fd = this.#byHandle(high, low);
    if (fd < 0) return;
    const link = cstring(`/proc/thread-self/fd/${fd}`);
    const got = readlinkat(-1, link, linkText.address, linkText.size);
    close(fd);
    if (got > 1) this.#paths.set(`${high}:${low}`, `.${linkText.bytes.latin1Slice(0, got)}`);
  }

  /** It is watched no more. */
  forget(high: number, low: number): void {
    this.#paths.delete(`${high}:${low}`);
  }

  /**
   * The same of another node that the kernel has. A watch keeps the inode, not its name:
   * where the kernel has forgotten that, it is looked up again.
   */
  node(high: number, low: number): number {
    const fd = this.#byHandle(high, low);
    const path = this.#paths.get(`${high}:${low}`);
    if (fd !== -E.ESTALE || path === undefined) return fd;
    const found = openat(this.#root, paths.putLatin1(0, path), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (found < 0) return fd;
    const again = this.#byHandle(high, low);
    close(found);
    return again;
  }

  #byHandle(high: number, low: number): number {
    return openNode(this.#root, high, low, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }

  /** An O_PATH descriptor of the directory at `path`, relative to the root, or -errno; to be closed. */
  under(path: number): number {
    return openat(this.#root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  }

  /** The directory that nobody else sees, or -errno; to be left open. */
  hidden(): number {
    if (this.#hidden < 0) {
      const name = cstring(HIDDEN_NAME);
      this.#hidden = openat(this.#root, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    }
    return this.#hidden;
  }
}

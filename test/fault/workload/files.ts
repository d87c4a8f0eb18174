/** What a worker has open: descriptors and mappings that live through whatever happens. */
import * as posix from "../../conformance/posix/index.ts";
import { FILE_MAX, type Inode } from "./model.ts";

/** From this on the oldest is closed now and then. */
const MANY = 6;

export type How = "plain" | "append";

const FLAGS: Record<How, number> = {
  plain: posix.O_RDWR,
  append: posix.O_WRONLY | posix.O_APPEND,
};

export class OpenFiles {
  readonly #root: string;
  readonly #fds = { plain: new Map<Inode, number>(), append: new Map<Inode, number>() };
  /** Addresses of whole files, mapped. */
  readonly #mapped = new Map<Inode, number>();
  readonly #orphans = new Set<Inode>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Keeps a descriptor for reading and writing. */
  keep(inode: Inode, fd: number): void {
    this.#fds.plain.set(inode, fd);
  }

  /** A descriptor of the file `path`; it stays open. */
  fd(inode: Inode, path: string, how: How): number {
    const fd = this.#fds[how].get(inode) ?? posix.open(`${this.#root}/${path}`, FLAGS[how]);
    this.#fds[how].set(inode, fd);
    return fd;
  }

  /** The descriptor for reading and writing, if there is one. */
  opened(inode: Inode): number | undefined {
    return this.#fds.plain.get(inode);
  }

  /** The address of a shared mapping of FILE_MAX bytes of the file. */
  map(inode: Inode, path: string): number {
    const protection = posix.PROT_READ | posix.PROT_WRITE;
    const address =
      this.#mapped.get(inode) ??
      posix.mmap(this.fd(inode, path, "plain"), FILE_MAX, protection, posix.MAP_SHARED);
    this.#mapped.set(inode, address);
    return address;
  }

  /** The file has lost its last name; it lives on while it is open. */
  orphan(inode: Inode): void {
    if (this.#fds.plain.has(inode)) this.#orphans.add(inode);
    this.#closeOne("append", inode);
  }

  /** Files without a name that are open. */
  orphans(): Inode[] {
    return [...this.#orphans];
  }

  /** Closes what has been open for longest, where much is. */
  closeOldest(): void {
    for (const how of ["plain", "append"] as const) {
      const [oldest] = this.#fds[how].keys();
      if (oldest !== undefined && this.#fds[how].size >= MANY) this.#closeOne(how, oldest);
    }
  }

  /** Closes all of an inode. */
  close(inode: Inode): void {
    this.#closeOne("plain", inode);
    this.#closeOne("append", inode);
  }

  #closeOne(how: How, inode: Inode): void {
    const fd = this.#fds[how].get(inode);
    if (fd === undefined) return;
    this.#fds[how].delete(inode);
    if (how === "plain") this.#forget(inode);
    posix.close(fd);
  }

  #forget(inode: Inode): void {
    this.#orphans.delete(inode);
    const address = this.#mapped.get(inode);
    this.#mapped.delete(inode);
    if (address !== undefined) posix.munmap(address);
  }
}

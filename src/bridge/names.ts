/**
 * Names of sockets that stand for sockets of the other machine: who receives a datagram sees
 * the sender's name, and answers to it, though the file at that path is another's. So the
 * socket is bound in a file system of nobody else, which is the thread's root meanwhile: the
 * thread must have a root and a working directory of its own (CLONE_FS).
 */
import { PathBuffer } from "../sys/cstring.ts";
import { mountNowhere } from "../sys/detached.ts";
import { E } from "../sys/errno.ts";
import { AT_FDCWD, AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../sys/open.ts";
import { chroot, fchdir } from "../sys/process.ts";
import { mkdirat, unlinkat } from "../sys/tree.ts";
import { bindAt, SOCKET_PATH_MAX } from "../sys/unixsocket.ts";
import { NAME_MAX } from "../wire/limits.ts";
import type { DatagramFan } from "./datagrams.ts";

const paths = new PathBuffer(1);
const FOR_OWNER = 0o700;

/** A name (sun_path, with or without its NUL) as text whose characters are bytes; "" unless it is a path. */
export function pathOfName(name: Uint8Array): string {
  const end = name.indexOf(0);
  const text = Buffer.from(end < 0 ? name : name.subarray(0, end)).toString("latin1");
  return text.startsWith("/") ? text : "";
}

/** Whether the socket of such a path could be bound there. */
export function isSocketPath(path: string): boolean {
  const names = path.split("/").slice(1);
  const isGood = (name: string) =>
    name !== "" && name !== "." && name !== ".." && name.length <= NAME_MAX;
  const isWhole = path.startsWith("/") && path.length <= SOCKET_PATH_MAX && !path.includes("\0");
  return isWhole && names.every(isGood);
}

/**
 * Bound sockets of datagrams by their paths, of one owner each: what answers a datagram has to
 * come from the very socket that it was sent to, for who is connected hears nobody else (unix(7)).
 */
export class DatagramPlaces {
  readonly #fans = new Map<string, DatagramFan>();

  add(owner: number | string, path: string, fan: DatagramFan): void {
    if (path !== "") this.#fans.set(`${owner} ${path}`, fan);
  }

  remove(owner: number | string, path: string, fan: DatagramFan): void {
    if (this.#fans.get(`${owner} ${path}`) === fan) this.#fans.delete(`${owner} ${path}`);
  }

  /**
   * An end (SEQPACKET) of which all that comes is sent to the path `to`, from the socket at
   * `from`; or -errno: -ENOENT where there is none. `gone` is called once it is no more.
   */
  answering(owner: number | string, from: string, to: string, gone = () => {}): number {
    return this.#fans.get(`${owner} ${from}`)?.answering(to, gone) ?? -E.ENOENT;
  }
}

export class SocketNames {
  /** Its root; -errno: there is none to be had. */
  readonly #place = mountNowhere("tmpfs");
  readonly #root = openat(-1, paths.put(0, "/"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

  /** Gives a socket the name `path`, whose characters are bytes: 0 or -errno. */
  bind(fd: number, path: string): number {
    if (this.#place < 0) return this.#place;
    if (!isSocketPath(path)) return -E.EINVAL;
    let result = fchdir(this.#place);
    if (result === 0) result = chroot(paths.put(0, "."));
    if (result === 0) result = bindInside(fd, path);
    const back = Math.min(fchdir(this.#root), chroot(paths.put(0, ".")));
    if (back < 0) throw new Error(`Cannot leave the file system for names: errno ${-back}`);
    return result;
  }
}

/** Binds, and leaves nothing behind but the socket's name. */
function bindInside(fd: number, path: string): number {
  const names = path.split("/");
  const above = names.slice(2).map((_, i) => names.slice(0, i + 2).join("/"));
  for (const directory of above) mkdirat(AT_FDCWD, paths.putLatin1(0, directory), FOR_OWNER);
  const result = bindAt(fd, path);
  unlinkat(AT_FDCWD, paths.putLatin1(0, path), 0);
  for (const directory of above.reverse()) {
    unlinkat(AT_FDCWD, paths.putLatin1(0, directory), AT_REMOVEDIR);
  }
  return result;
}

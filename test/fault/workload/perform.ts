/** Does a worker's operations on its own files, and compares what it sees with the model. */
import { E } from "../../../src/sys/errno.ts";
import { PosixError } from "../../conformance/posix/failure.ts";
import * as posix from "../../conformance/posix/index.ts";
import type { OpenFiles } from "./files.ts";
import { dataOf, FILE_MAX, homeOf, type Inode, type Model, RING, ringPrefix } from "./model.ts";
import type { Change, Look } from "./record.ts";
import { Mismatch } from "./shared.ts";

/** A directory is read in pieces of this size, so that much may happen in between. */
const LIST_BYTES = 256;
const S_PERMISSIONS = 0o7777;

export interface Place {
  worker: number;
  root: string;
  model: Model;
  files: OpenFiles;
  /** Whether a file without a name may be gone (ESTALE): the server has been killed. */
  losesOrphans: boolean;
  /** Whether an error may end a read(2) halfway, so that it has to be gone on with. */
  readsInParts: boolean;
}

/** Does a change, then tells the model. Throws PosixError or Mismatch. */
export function change(place: Place, operation: Change): void {
  const { root, files, model } = place;
  const path = `${root}/${operation.path}`;
  const inode = model.entries.get(operation.path);
  switch (operation.op) {
    case "create": {
      const fd = posix.open(path, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, operation.mode);
      model.apply(operation);
      files.keep(model.get(operation.path), fd);
      return;
    }
    case "write":
    case "append":
    case "map":
      write(place, operation);
      break;
    case "truncate":
      onOpen(files, inode, path, posix.ftruncate, posix.truncate, operation.size);
      break;
    case "chmod":
      onOpen(files, inode, path, posix.fchmod, posix.chmod, operation.mode);
      break;
    case "rename":
    case "unlink":
      remove(place, operation);
      return;
    case "link":
      posix.link(path, `${root}/${operation.to}`);
      break;
    case "symlink":
      posix.symlink(operation.target, path);
      break;
    case "mkdir":
      posix.mkdir(path);
      break;
    case "rmdir":
      posix.rmdir(path);
  }
  model.apply(operation);
}

/** Uses the descriptor where there is one, the name otherwise. */
function onOpen(
  files: OpenFiles,
  inode: Inode | undefined,
  path: string,
  byDescriptor: (fd: number, value: number) => void,
  byName: (path: string, value: number) => void,
  value: number,
): void {
  const fd = inode === undefined ? undefined : files.opened(inode);
  if (fd === undefined) byName(path, value);
  else byDescriptor(fd, value);
}

/** What takes a name away. */
function remove(place: Place, operation: Extract<Change, { op: "rename" | "unlink" }>): void {
  const { root, model, files } = place;
  const path = `${root}/${operation.path}`;
  const lost = model.entries.get(operation.op === "rename" ? operation.to : operation.path);
  if (operation.op === "rename") posix.rename(path, `${root}/${operation.to}`);
  else posix.unlink(path);
  model.apply(operation);
  if (lost?.type === "file" && model.links(lost) === 0) files.orphan(lost);
}

function write(
  { model, files }: Place,
  operation: Extract<Change, { op: "write" | "append" | "map" }>,
): void {
  const { op, path, length, text } = operation;
  const inode = model.get(path);
  const data = dataOf(length, text);
  if (op === "map") {
    const address = files.map(inode, path);
    const at = address + operation.offset;
    compare(`${path}, mapped,`, posix.peek(at, length), part(inode, operation.offset, length));
    posix.poke(at, data);
    posix.msync(address, FILE_MAX, posix.MS_SYNC);
    return;
  }
  const fd = files.fd(inode, path, op === "append" ? "append" : "plain");
  const written =
    op === "append" ? posix.write(fd, data) : posix.pwrite(fd, data, operation.offset);
  if (written !== length) throw new Mismatch(`write(2) took ${written} of ${length}`);
  if (op === "append") posix.fsync(fd);
}

function part({ content }: Inode, offset: number, length: number): Buffer {
  return content.subarray(offset, offset + length);
}

/** Compares what is there with the model. Throws PosixError or Mismatch. */
export function look(place: Place, operation: Look): void {
  if (operation.op === "read") read(place, operation.path);
  else if (operation.op === "status") status(place, operation.path);
  else if (operation.op === "list") list(place, operation.path);
  else if (operation.op === "orphan") orphans(place);
  else if (operation.op === "where") where(place);
  else place.files.closeOldest();
}

/** Reads through the descriptor where there is one, and through a new one. */
function read({ root, model, files, readsInParts }: Place, path: string): void {
  const inode = model.get(path);
  const opened = files.opened(inode);
  const fd = opened ?? posix.open(`${root}/${path}`, posix.O_RDONLY);
  const found = readsInParts ? readWhole(fd) : posix.pread(fd, FILE_MAX, 0);
  if (opened === undefined) posix.close(fd);
  compare(path, found, inode.content);
}

function compare(what: string, found: Buffer, wanted: Buffer): void {
  if (found.equals(wanted)) return;
  let at = 0;
  while (at < Math.min(found.length, wanted.length) && found[at] === wanted[at]) at++;
  const show = (bytes: Buffer) => JSON.stringify(bytes.toString("latin1", at, at + 24));
  throw new Mismatch(
    `${what} has ${found.length} bytes, not ${wanted.length}: ` +
      `at ${at} ${show(found)}, not ${show(wanted)}`,
  );
}

function status({ root, model }: Place, path: string): void {
  const inode = model.get(path);
  const found = posix.lstat(`${root}/${path}`);
  const is = [found.size, found.nlink, found.mode & S_PERMISSIONS].join(" ");
  const wanted = [inode.content.length, model.links(inode), inode.mode].join(" ");
  if (is !== wanted) throw new Mismatch(`${path} has size, links and mode ${is}, not ${wanted}`);
}

/** Every name that nobody touches meanwhile is seen once. */
function list({ root, model, worker }: Place, path: string): void {
  const names = namesIn(`${root}/${path}`);
  const prefix = path === RING ? ringPrefix(worker).slice(RING.length + 1) : "";
  const own = names.filter((name) => name.startsWith(prefix) && name !== "." && name !== "..");
  const wanted = model.list(path).filter((name) => name.startsWith(prefix));
  const [is, must] = [own.sort().join(" "), wanted.sort().join(" ")];
  if (is === must) return;
  const all = new Set([...own, ...wanted]);
  const odd = [...all].filter((name) => !own.includes(name) || !wanted.includes(name));
  const seen = odd.map((name) => `${name} ${exists(`${root}/${path}/${name}`) ? "is" : "is not"}`);
  const again = namesIn(`${root}/${path}`).filter((name) => odd.includes(name));
  throw new Mismatch(
    `${path} has the names ${is}; it must have ${must} ` +
      `(when looked up: ${seen.join(", ")}; when listed again: ${again.join(" ") || "none"} of them)`,
  );
}

function namesIn(path: string): string[] {
  const fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY);
  try {
    return posix.readAll(fd, LIST_BYTES).map(({ name }) => name.toString());
  } finally {
    posix.close(fd);
  }
}

function exists(path: string): boolean {
  try {
    posix.lstat(path);
    return true;
  } catch {
    return false;
  }
}

/** A working directory has its name whatever becomes of those who serve it. */
function where({ root, worker }: Place): void {
  const [is, wanted] = [posix.getcwd(), `${root}/${homeOf(worker)}`];
  if (is !== wanted) throw new Mismatch(`the working directory is ${is}, not ${wanted}`);
}

function orphans({ files, losesOrphans }: Place): void {
  for (const inode of files.orphans()) {
    const fd = files.opened(inode) as number;
    try {
      compare("a file without a name", readWhole(fd), inode.content);
    } catch (error) {
      const stale = error instanceof PosixError && error.errno === E.ESTALE;
      if (!stale || !losesOrphans) throw error;
      files.close(inode);
    }
  }
}

/** Reads to the end: of a file that is gone the part that is cached comes without an error. */
function readWhole(fd: number): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (;;) {
    const part = posix.pread(fd, FILE_MAX, offset);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
    offset += part.length;
  }
}

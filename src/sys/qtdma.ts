/**
 * The C library for links over PCIe (ffi/qtdma.h), which the executable carries: it is
 * loaded once a lane is wanted. Its state belongs to the process, not to a thread; a lane
 * is used by one thread at a time. A lane is a descriptor that behaves like a socket
 * (sys/lanes.ts), but that other processes cannot be given.
 */
import { dlopen } from "bun:ffi";
import { readFileSync } from "node:fs";
import { cstring } from "./cstring.ts";
import { E, errnoText } from "./errno.ts";
import { write } from "./io.ts";
import { type Lane, lanes } from "./lanes.ts";
import { addr, i32, i64, u32, u64 } from "./libc.ts";
import { allocate, free } from "./memory.ts";
import { close } from "./open.ts";
import { memfdCreate } from "./sharedmemory.ts";

/** Name that the library has in the process (scripts/build: -soname). */
const SONAME = "qtfs-qtdma.so";

/** Where sysfs has the devices. */
export const DEVICES = "/sys/bus/pci/devices";
/** Place on the bus of an engine that copies, one of QEMU's edu devices; the CPU copies without. */
const ENGINE_VARIABLE = "QTFS_PCIE_EDU";

const SYMBOLS = {
  qtdma_listen: { args: [addr, u32, u32], returns: i32 },
  qtdma_accept: { args: [i32], returns: i32 },
  qtdma_connect: { args: [addr, u32], returns: i32 },
  qtdma_outcome: { args: [i32], returns: i32 },
  qtdma_receive: { args: [i32, addr, u64], returns: i64 },
  qtdma_send: { args: [i32, addr, u64, addr, u64], returns: i64 },
  qtdma_send_file: { args: [i32, i32, u64, u64], returns: i64 },
  qtdma_unsent: { args: [i32], returns: i64 },
  qtdma_ready: { args: [i32, u32, i32], returns: i32 },
  qtdma_relay: { args: [i32], returns: i32 },
  qtdma_use_edu: { args: [addr], returns: i32 },
  qtdma_close: { args: [i32], returns: i32 },
} as const;

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];
let loaded: Library | undefined;

/** The library; one for all threads that use lanes of each other, once one of them has loaded it. */
function library(): Library {
  if (loaded !== undefined) return loaded;
  const fresh = load();
  const device = process.env[ENGINE_VARIABLE];
  const used = device === undefined ? 0 : fresh.qtdma_use_edu(cstring(`${DEVICES}/${device}`));
  // One process alone can have it; in the others the CPU copies.
  if (used < 0 && used !== -E.EBUSY) {
    throw new Error(
      `Cannot copy by the device ${device} (${ENGINE_VARIABLE}): ${errnoText(-used)}`,
    );
  }
  loaded = fresh;
  return fresh;
}

function load(): Library {
  try {
    // One that the process has already is found by its name.
    return dlopen(SONAME, SYMBOLS).symbols;
  } catch {
    return loadCarried();
  }
}

/** Loads it from memory: a file in /tmp could be somebody else's. */
function loadCarried(): Library {
  const bytes = readFileSync(carried());
  const fd = memfdCreate(cstring(SONAME));
  if (fd < 0) throw new Error(`Cannot load the library for PCIe: ${errnoText(-fd)}`);
  const copy = allocate(bytes.length);
  copy.bytes.set(bytes);
  const wrote = write(fd, copy.address, bytes.length);
  free(copy);
  try {
    if (wrote !== bytes.length) throw new Error("Cannot load the library for PCIe: no memory");
    return dlopen(`/proc/self/fd/${fd}`, SYMBOLS).symbols;
  } finally {
    close(fd);
  }
}

/**
 * Where the library is in the executable, or was built; only asked for where it is wanted.
 * scripts/build says which machine it builds for: the other's library is not there then.
 */
function carried(): string {
  const file =
    process.arch === "arm64"
      ? (require("./qtdmafile.arm64.ts") as typeof import("./qtdmafile.arm64.ts"))
      : (require("./qtdmafile.x64.ts") as typeof import("./qtdmafile.x64.ts"));
  return file.default;
}

/** One lane that a thread uses. */
class OpenLane implements Lane {
  wants = 1;
  readonly #fd: number;
  readonly #c: Library;

  constructor(fd: number) {
    this.#fd = fd;
    this.#c = library();
  }

  prepare(sleeps: boolean): void {
    // POLLIN and POLLOUT: data and room (qtdma.h).
    const data = this.wants & 1;
    const room = (this.wants & 4) >> 1;
    this.#c.qtdma_ready(this.#fd, data | room, sleeps ? 1 : 0);
  }

  outcome(): number {
    return this.#c.qtdma_outcome(this.#fd);
  }

  close(): number {
    lanes.delete(this.#fd);
    return this.#c.qtdma_close(this.#fd);
  }
}

/** This thread uses the lane `fd` from now on. */
export function takeLane(fd: number): void {
  if (!lanes.has(fd)) lanes.set(fd, new OpenLane(fd));
}

/** Another thread does, if it is one. */
export function leaveLane(fd: number): void {
  lanes.delete(fd);
}

/** Listens at `port` of the link in `path`, which is made with `mode` where there is none; or -errno. */
export function listenLane(path: string, port: number, mode: number): number {
  return library().qtdma_listen(cstring(path), port, mode);
}

/** The next connection, or -EAGAIN; whoever uses it takes it. */
export function acceptLane(listener: number): number {
  return library().qtdma_accept(listener);
}

/** Begins to connect, without waiting: a descriptor, which this thread uses, or -errno. */
export function beginConnectLane(path: string, port: number): number {
  const fd = library().qtdma_connect(cstring(path), port);
  if (fd >= 0) takeLane(fd);
  return fd;
}

/** A socket in place of a lane that has been accepted; or -errno, and the lane is closed. */
export function relayLane(fd: number): number {
  const socket = library().qtdma_relay(fd);
  if (socket < 0) library().qtdma_close(fd);
  return socket;
}

/** Closes a listener, or a lane that no thread has taken. */
export function closeLane(fd: number): void {
  library().qtdma_close(fd);
}

/** Sends `n` bytes and then `more` others: bytes taken, or -errno. */
export function sendLane(fd: number, a: number, n: number, b: number, more: number): number {
  return Number(library().qtdma_send(fd, a, n, b, more));
}

/** The same of a file; 0 at its end. */
export function sendFileLane(fd: number, file: number, offset: number, n: number): number {
  return Number(library().qtdma_send_file(fd, file, offset, n));
}

/** Bytes received: 0 at the end, or -errno. */
export function receiveLane(fd: number, address: number, n: number): number {
  return Number(library().qtdma_receive(fd, address, n));
}

/** Bytes that the peer has not taken. */
export function unsentLane(fd: number): number {
  return Math.max(0, Number(library().qtdma_unsent(fd)));
}

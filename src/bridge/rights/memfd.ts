/**
 * Files in memory (memfd_create(2)): copied when they are passed, with their seals. One
 * that both sides change afterwards is two files from then on.
 */
import type { Stream } from "../../session/stream.ts";
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { ftruncate, lseek, pread, pwrite, SEEK_SET } from "../../sys/io.ts";
import {
  AT_FDCWD,
  close,
  F_ADD_SEALS,
  fcntlInt,
  O_ACCMODE,
  O_CLOEXEC,
  O_RDWR,
  openat,
} from "../../sys/open.ts";
import { memfdCreateSealable } from "../../sys/sharedmemory.ts";
import type { Arriving, Bridged } from "./bridged.ts";

/** Sends the bytes of one. */
export class MemfdSource implements Bridged {
  readonly #fd: number;
  readonly #size: number;
  #stream: Stream | undefined;
  #at = 0;
  #isClosed = false;

  /** Owns `fd`. */
  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.#size = size;
  }

  start(stream: Stream): void {
    this.#stream = stream;
    this.onWritable(stream);
  }

  onWritable(stream: Stream): void {
    while (!this.#isClosed && this.#at < this.#size) {
      const got = stream.fill((address, max) =>
        pread(this.#fd, address, Math.min(max, this.#size - this.#at), this.#at),
      );
      if (got === undefined) return;
      // What has been cut off meanwhile is zeros there.
      if (got <= 0) break;
      this.#at += got;
    }
    stream.end();
    this.#finish();
  }

  onReset(): void {
    this.#finish();
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    stream.consumed(bytes.length);
  }

  onOutOfBand(stream: Stream): void {
    stream.consumed(0, 1);
  }

  onEof(): void {}

  onClosed(): void {
    this.#finish();
  }

  close(errno: number): void {
    this.#stream?.reset(errno);
    this.#finish();
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    close(this.#fd);
  }
}

/** What one is to become. */
export interface MemfdMeant {
  readonly size: number;
  readonly seals: number;
  readonly offset: number;
  /** O_* flags. */
  readonly flags: number;
}

/** Makes one of the bytes that come. */
export class MemfdSink implements Bridged {
  readonly #meant: MemfdMeant;
  readonly #arriving: Arriving;
  #fd: number;
  #stream: Stream | undefined;
  #at = 0;

  /** `fd`: an empty one (emptyMemfd), which it owns. */
  constructor(fd: number, meant: MemfdMeant, arriving: Arriving) {
    this.#fd = fd;
    this.#meant = meant;
    this.#arriving = arriving;
  }

  start(stream: Stream): void {
    this.#stream = stream;
    stream.end();
  }

  onData(stream: Stream, bytes: Uint8Array, address: number): void {
    const fits = this.#at + bytes.length <= this.#meant.size;
    const wrote = fits ? pwrite(this.#fd, address, bytes.length, this.#at) : -E.EFBIG;
    if (wrote < bytes.length) {
      this.close(wrote < 0 ? -wrote : E.ENOSPC);
      return;
    }
    this.#at += bytes.length;
    stream.consumed(bytes.length);
  }

  onEof(): void {
    if (this.#fd < 0) return;
    const { seals, offset, flags } = this.#meant;
    if (seals > 0) fcntlInt(this.#fd, F_ADD_SEALS, seals);
    const fd = (flags & O_ACCMODE) === O_RDWR ? this.#fd : this.#reopened(flags);
    this.#fd = -1;
    if (offset > 0) lseek(fd, offset, SEEK_SET);
    if (fd >= 0) this.#arriving.ready(fd);
    else this.#arriving.gone();
  }

  #reopened(flags: number): number {
    const path = cstring(`/proc/self/fd/${this.#fd}`);
    const fd = openat(AT_FDCWD, path, (flags & O_ACCMODE) | O_CLOEXEC, 0);
    close(this.#fd);
    return fd;
  }

  onOutOfBand(stream: Stream): void {
    stream.consumed(0, 1);
  }

  onReset(): void {
    this.#finish();
    this.#arriving.gone();
  }

  onWritable(): void {}

  onClosed(): void {
    this.#finish();
  }

  close(errno: number): void {
    this.#stream?.reset(errno);
    this.#finish();
    this.#arriving.gone();
  }

  #finish(): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}

/** An empty one of `size` bytes: a descriptor or -errno. */
export function emptyMemfd(size: number): number {
  const fd = memfdCreateSealable(cstring("passed"));
  if (fd < 0) return fd;
  const result = ftruncate(fd, size);
  if (result < 0) close(fd);
  return result < 0 ? result : fd;
}

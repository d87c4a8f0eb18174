/**
 * Joins a descriptor that is always ready, and which epoll(7) refuses (a regular file, a
 * device without poll), to a stream: in one direction.
 */
import type { Stream, StreamHandler } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { read, write } from "../sys/io.ts";
import { close } from "../sys/open.ts";
import { ProtocolError } from "../wire/error.ts";

export interface FileEndOptions {
  /** Owned from now on. */
  readonly fd: number;
  /** It is over and the descriptor is closed; `errno` says why if not by its end. */
  readonly ended: (errno: number) => void;
}

abstract class FileEnd implements StreamHandler {
  readonly #fd: number;
  readonly #ended: (errno: number) => void;
  isClosed = false;

  constructor({ fd, ended }: FileEndOptions) {
    this.#fd = fd;
    this.#ended = ended;
  }

  protected get fd(): number {
    return this.#fd;
  }

  abstract start(stream: Stream): void;
  abstract onData(stream: Stream, bytes: Uint8Array, address: number): void;
  abstract onEof(stream: Stream): void;
  abstract onWritable(stream: Stream): void;

  onReset(_: Stream, errno: number): void {
    this.finish(errno);
  }

  onOutOfBand(_: Stream, type: number): void {
    throw new ProtocolError(`message ${type} beside a file's bytes`);
  }

  onClosed(): void {}

  protected finish(errno: number): void {
    if (this.isClosed) return;
    this.isClosed = true;
    close(this.#fd);
    this.#ended(errno);
  }
}

/** Reads the file to its end. */
export class FileSource extends FileEnd {
  readonly #read = (address: number, max: number) => read(this.fd, address, max);

  start(stream: Stream): void {
    this.onWritable(stream);
  }

  onWritable(stream: Stream): void {
    while (!this.isClosed) {
      const got = stream.fill(this.#read);
      if (got === undefined) return;
      if (got > 0 || got === -E.EINTR) continue;
      if (got === 0) stream.end();
      else stream.reset(-got);
      this.finish(got === 0 ? 0 : -got);
    }
  }

  onData(): void {
    throw new ProtocolError("data for what is read alone");
  }

  onEof(): void {}
}

/** Writes what comes at the description's own position. */
export class FileSink extends FileEnd {
  start(stream: Stream): void {
    stream.end();
  }

  onWritable(): void {}

  onData(stream: Stream, bytes: Uint8Array, address: number): void {
    for (let at = 0; at < bytes.length && !this.isClosed; ) {
      const wrote = write(this.fd, address + at, bytes.length - at);
      if (wrote > 0) at += wrote;
      else if (wrote !== -E.EINTR) {
        stream.reset(-wrote);
        this.finish(-wrote);
      }
    }
    if (!stream.isReset) stream.consumed(bytes.length);
  }

  onEof(): void {
    this.finish(0);
  }
}

/** Our end of a stream of the program's: a descriptor that was inherited, joined to it. */
import { readlinkSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import { MessagePump } from "../../bridge/pumpmessages.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { cstring } from "../../sys/cstring.ts";
import { lseek, SEEK_CUR, SEEK_SET } from "../../sys/io.ts";
import {
  AT_FDCWD,
  close,
  dup,
  F_GETFL,
  fcntlInt,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat,
  setNonBlocking,
} from "../../sys/open.ts";
import { dupOver } from "../../sys/process.ts";
import { SOCK_DGRAM, SOCK_SEQPACKET } from "../../sys/socket.ts";
import { PROGRAM_PIPE_BYTES } from "../../wire/limits.ts";
import { ProgramEnd } from "../../wire/streams.ts";
import { FileSink, FileSource } from "../fileend.ts";
import { type Place, Thing } from "./descriptors.ts";
import { OwnListener } from "./ownlistener.ts";

/** A handler that is given its stream. */
interface Joined extends StreamHandler {
  start(stream: Stream): void;
}

export interface OwnEndOptions {
  readonly loop: Loop;
  readonly place: Place;
  /** Opens a stream to the program's listener of this place. */
  readonly connect: (handler: StreamHandler) => Stream | undefined;
  /** Told when nothing more comes or goes. */
  readonly ended: (end: OwnEnd) => void;
}

/** What the program may have written at its end has all come when such a stream is over. */
const OUTPUTS: ReadonlySet<number> = new Set([
  ProgramEnd.OUTPUT,
  ProgramEnd.SOCKET,
  ProgramEnd.SCREEN,
]);
const MESSAGE_TYPES: ReadonlyMap<number, number> = new Map([
  [ProgramEnd.PACKETS, SOCK_SEQPACKET],
  [ProgramEnd.DATAGRAMS, SOCK_DGRAM],
]);
const LISTENERS: ReadonlySet<number> = new Set([
  ProgramEnd.LISTENER_UNIX,
  ProgramEnd.LISTENER_INET,
  ProgramEnd.LISTENER_INET6,
]);

export class OwnEnd {
  readonly place: Place;
  readonly handler: Joined;
  /** Whether bytes come from the program. */
  readonly isOutput: boolean;
  /** Where a file was read from. */
  readonly #start: number;
  /** Told to wait for nothing, which concerns all who have the same description. */
  #madeNonBlocking = false;
  isOver = false;
  /** Why it ended, if not as it should. */
  errno = 0;

  constructor({ loop, place, connect, ended }: OwnEndOptions) {
    this.place = place;
    const { kind, thing } = place;
    const fd = place.fds[0] as number;
    this.isOutput = OUTPUTS.has(kind);
    this.#start = thing === Thing.FILE ? lseek(fd, 0, SEEK_CUR) : -1;
    const over = (errno: number) => {
      this.isOver = true;
      this.errno = errno;
      this.restore();
      // Whoever has the other end shall know; the numbers stay taken.
      if (thing === Thing.PIPE || thing === Thing.SOCKET) place.fds.forEach(replaceByNothing);
      ended(this);
    };
    if (thing === Thing.FILE) {
      const options = { fd: dup(fd), ended: over };
      this.handler = this.isOutput ? new FileSink(options) : new FileSource(options);
      return;
    }
    const type = MESSAGE_TYPES.get(kind);
    if (type !== undefined) {
      const options = { loop, fd: dup(fd), type, isShared: true, ended: over };
      this.handler = new MessagePump(options);
      return;
    }
    if (LISTENERS.has(kind)) {
      this.#makeNonBlocking(fd);
      this.handler = new OwnListener({ loop, fd: dup(fd), open: connect });
      return;
    }
    const own = this.#open(fd);
    const isShared = thing === Thing.SOCKET;
    const shape = this.#shape();
    const pipeBytes = PROGRAM_PIPE_BYTES;
    this.handler = new BytePump({ loop, fd: own, shape, isShared, pipeBytes, ended: over });
  }

  /** The program has read `bytes` of the file: it goes on there for whoever has it, too. */
  hasRead(bytes: number): void {
    const fd = this.place.fds[0] as number;
    if (this.#start >= 0) lseek(fd, this.#start + bytes, SEEK_SET);
  }

  /** Gives the description back as it was. */
  restore(): void {
    if (this.#madeNonBlocking) setNonBlocking(this.place.fds[0] as number, false);
    this.#madeNonBlocking = false;
  }

  #shape(): Shape {
    const { thing } = this.place;
    if (thing === Thing.SOCKET) return Shape.SOCKET;
    if (this.isOutput) return Shape.WRITE_END;
    return thing === Thing.TERMINAL ? Shape.TERMINAL_READER : Shape.READ_END;
  }

  /** A descriptor that does not wait: another description of the same pipe or terminal, if that can be had. */
  #open(fd: number): number {
    if (this.place.thing === Thing.SOCKET) return dup(fd);
    const own = isNamed(fd, this.place.thing) ? -1 : this.#reopen(fd);
    if (own >= 0) return own;
    this.#makeNonBlocking(fd);
    return dup(fd);
  }

  #makeNonBlocking(fd: number): void {
    this.#madeNonBlocking = (fcntlInt(fd, F_GETFL) & O_NONBLOCK) === 0;
    setNonBlocking(fd, true);
  }

  #reopen(fd: number): number {
    const flags = (this.isOutput ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    return openat(AT_FDCWD, cstring(`/proc/self/fd/${fd}`), flags, 0);
  }
}

/** A FIFO: who opens that is not told of writers that have gone before (pipe_poll of fs/pipe.c). */
function isNamed(fd: number, thing: Thing): boolean {
  return thing === Thing.PIPE && !readlinkSync(`/proc/self/fd/${fd}`).startsWith("pipe:");
}

function replaceByNothing(fd: number): void {
  const nothing = openat(AT_FDCWD, cstring("/dev/null"), O_WRONLY | O_CLOEXEC, 0);
  if (nothing < 0) {
    close(fd);
    return;
  }
  dupOver(nothing, fd);
  close(nothing);
}

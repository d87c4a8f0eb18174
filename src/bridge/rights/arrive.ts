/** Makes here what the peer passes: a descriptor for the program, and what joins it to its stream. */
import { E } from "../../sys/errno.ts";
import { pipe2 } from "../../sys/io.ts";
import { dup, O_CLOEXEC, O_NONBLOCK, setNonBlocking } from "../../sys/open.ts";
import { EFD_NONBLOCK, EFD_SEMAPHORE, eventfd } from "../../sys/poll.ts";
import { SOCK_STREAM, socketPair } from "../../sys/socket.ts";
import { OpenFlag } from "../../wire/constants.ts";
import { MEMFD_MAX } from "../../wire/limits.ts";
import { SocketType } from "../../wire/streams.ts";
import { BytePump, Shape } from "../pumpbytes.ts";
import { MessagePump } from "../pumpmessages.ts";
import type { Arriving, Bridged } from "./bridged.ts";
import { EventfdEnd } from "./eventfd.ts";
import { flagsOfPassed } from "./flags.ts";
import { emptyMemfd, MemfdSink } from "./memfd.ts";
import { NOT_TOLD, Passed, whole } from "./passed.ts";
import type { Rights } from "./rights.ts";
import { arriveTerminal } from "./terminal.ts";

const FLAGS_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;
const TYPES: ReadonlySet<number> = new Set(Object.values(SocketType));

/** What is to be at this end of a stream `[id, what, flags, …]`, or the errno that refuses it. */
export function arrive(
  rights: Rights,
  items: readonly unknown[],
  arriving: Arriving,
): Bridged | number {
  const [, what, second, ...more] = items;
  const wire = whole(second, FLAGS_MAX);
  // Nobody will be told of it: it is not for anybody.
  const ended = (errno: number) => {
    if (errno === NOT_TOLD) arriving.gone();
    arriving.ended();
  };
  if (what === Passed.PIPE_READ || what === Passed.PIPE_WRITE) {
    return arrivePipe(rights, what, wire, arriving, ended);
  }
  if (what === Passed.SOCKET) {
    return arriveSocket(rights, whole(more[0], U32_MAX), wire, arriving, ended);
  }
  if (what === Passed.MEMFD) return arriveMemfd(wire, more, arriving);
  if (what === Passed.TERMINAL) return arriveTerminal(rights.loop, wire, more, arriving, ended);
  if (what !== Passed.EVENTFD) return E.EOPNOTSUPP;
  const flags = (isNonBlocking(wire) ? EFD_NONBLOCK : 0) | (whole(more[0], 1) && EFD_SEMAPHORE);
  const fd = eventfd(flags);
  if (fd < 0) return -fd;
  arriving.ready(dup(fd));
  return new EventfdEnd(rights.loop, fd, ended);
}

function isNonBlocking(wire: number): boolean {
  return (wire & OpenFlag.NONBLOCK) !== 0;
}

function arrivePipe(
  { loop }: Rights,
  what: number,
  wire: number,
  arriving: Arriving,
  ended: (errno: number) => void,
): Bridged | number {
  const ends = pipe2(O_CLOEXEC | O_NONBLOCK);
  if (typeof ends === "number") return -ends;
  const reads = what === Passed.PIPE_READ;
  const [given, own] = reads ? ends : [ends[1], ends[0]];
  setNonBlocking(given, isNonBlocking(wire));
  arriving.ready(given);
  const shape = reads ? Shape.WRITE_END : Shape.READ_END;
  return new BytePump({ loop, fd: own, shape, ended });
}

function arriveSocket(
  rights: Rights,
  type: number,
  wire: number,
  arriving: Arriving,
  ended: (errno: number) => void,
): Bridged | number {
  if (!TYPES.has(type)) return E.ESOCKTNOSUPPORT;
  const ends = socketPair(type);
  if (typeof ends === "number") return -ends;
  const [given, fd] = ends;
  setNonBlocking(given, isNonBlocking(wire));
  arriving.ready(given);
  const { loop } = rights;
  const peer = "a socket that was passed";
  const ancillary = rights.carrier(peer);
  return type === SOCK_STREAM
    ? new BytePump({ loop, fd, shape: Shape.SOCKET, peer, ancillary, ended })
    : new MessagePump({ loop, fd, type, peer, ancillary, ended });
}

function arriveMemfd(wire: number, more: readonly unknown[], arriving: Arriving): Bridged | number {
  const meant = {
    size: whole(more[0]),
    seals: whole(more[1], U32_MAX),
    offset: whole(more[2]),
    flags: flagsOfPassed(wire),
  };
  if (meant.size > MEMFD_MAX) return E.EFBIG;
  if (!arriving.reserve(meant.size)) return E.ENOMEM;
  const fd = emptyMemfd(meant.size);
  return fd < 0 ? -fd : new MemfdSink(fd, meant, arriving);
}

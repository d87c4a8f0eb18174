/** Sends one descriptor across, as what it is. */
import type { Stream } from "../../session/stream.ts";
import { errnoName } from "../../sys/errno.ts";
import { lseek, SEEK_CUR } from "../../sys/io.ts";
import { close, F_GET_SEALS, fcntlInt, O_RDWR } from "../../sys/open.ts";
import { MEMFD_MAX } from "../../wire/limits.ts";
import { SocketType, StreamKind } from "../../wire/streams.ts";
import { BytePump, Shape } from "../pumpbytes.ts";
import { MessagePump } from "../pumpmessages.ts";
import type { Bridged } from "./bridged.ts";
import { classify, type Found, linkOf, namelessSize } from "./classify.ts";
import { EventfdEnd, isSemaphore } from "./eventfd.ts";
import { passedFlags } from "./flags.ts";
import { MemfdSource } from "./memfd.ts";
import { Item, Passed, type PassedItem } from "./passed.ts";
import { reopened } from "./reopen.ts";
import type { Rights } from "./rights.ts";
import { describeTerminal, TerminalSource } from "./terminal.ts";

/** What stands for a descriptor, and what serves it here. */
export interface Offered {
  readonly item: PassedItem;
  readonly bridged: Bridged | undefined;
  /** It lasts as long as the connection that it was passed over. */
  readonly isBound: boolean;
  /** It is the terminal that this serves. */
  readonly terminal?: TerminalSource;
}

/** How long a stream may be waited for. */
const OPEN_MS = 10_000;

/** Offers `fd`, which is taken over; a string says what cannot cross, and why. */
export function offer(rights: Rights, fd: number, done: (offered: Offered | string) => void): void {
  const found = classify(fd);
  if (found.what === "refused") refuse(fd, found.name, done);
  else if (found.what === "device") {
    close(fd);
    const item = [Item.DEVICE, passedFlags(found.flags), found.minor];
    done({ item, bridged: undefined, isBound: false });
  } else if (found.what === "terminal") offerTerminal(rights, fd, found, done);
  else if (found.what === "file") offerFile(rights, fd, found.flags, done);
  else offerStream(rights, fd, found, done);
}

function refuse(fd: number, why: string, done: (offered: string) => void): void {
  close(fd);
  done(why);
}

function offerFile(
  rights: Rights,
  fd: number,
  flags: number,
  done: (offered: Offered | string) => void,
): void {
  const wire = passedFlags(flags);
  const { share } = rights;
  share.describe(fd, wire, (what) => {
    const nameless = what === undefined ? namelessSize(fd, flags) : -1;
    if (nameless >= 0) {
      offerStream(rights, fd, { what: "memfd", flags, size: nameless }, done);
      return;
    }
    const name = linkOf(fd);
    const offset = wire === 0 ? 0 : Math.max(0, lseek(fd, 0, SEEK_CUR));
    share.close(fd);
    if (what === undefined) done(`${name}, which is not on the share,`);
    else if (typeof what === "number") done(`${name} (${errnoName(what)})`);
    else done({ item: [Item.SHARE, wire, offset, ...what], bridged: undefined, isBound: false });
  });
}

/** A terminal has one stream, however often it is passed: two would share what is typed. */
function offerTerminal(
  rights: Rights,
  fd: number,
  { flags, device }: Extract<Found, { what: "terminal" }>,
  done: (offered: Offered | string) => void,
): void {
  const known = rights.terminals.get(device);
  if (known !== undefined) {
    close(fd);
    const item = [Item.AGAIN, passedFlags(flags), known.id];
    done({ item, bridged: undefined, isBound: false, terminal: known.source });
    return;
  }
  const described = describeTerminal(fd);
  if (typeof described === "number") {
    refuse(fd, `a terminal (${errnoName(described)})`, done);
    return;
  }
  const id = rights.nextId();
  const ended = () => rights.terminals.delete(device);
  const source = new TerminalSource(rights.loop, reopened(fd, O_RDWR), described[1], ended);
  const served = { what: Passed.TERMINAL, more: described, bridged: source };
  rights.terminals.set(device, { id, source });
  openFor(rights, id, flags, served, (offered) => {
    done(typeof offered === "string" ? offered : { ...offered, terminal: source });
  });
}

type Streamed = Exclude<Found, { what: "refused" | "file" | "device" | "terminal" }>;

/** Opens a stream for `fd` and what serves it here. */
function offerStream(
  rights: Rights,
  fd: number,
  found: Streamed,
  done: (offered: Offered | string) => void,
): void {
  const served = serve(rights, fd, found);
  if (typeof served === "string") refuse(fd, served, done);
  else openFor(rights, rights.nextId(), found.flags, served, done);
}

interface Served {
  readonly what: number;
  readonly more: readonly (number | Uint8Array)[];
  readonly bridged: Bridged;
}

function openFor(
  rights: Rights,
  id: number,
  flags: number,
  { what, more, bridged }: Served,
  done: (offered: Offered | string) => void,
): void {
  openStream(rights, [id, what, passedFlags(flags), ...more], bridged, (stream) => {
    if (stream === undefined) {
      bridged.close(0);
      done("one descriptor more than there is room for");
      return;
    }
    bridged.start(stream);
    done({ item: [Item.STREAM, id], bridged, isBound: isUntold(what, more) });
  });
}

/** Whether the kernel tells nobody when it is used no more: it ends with the connection. */
function isUntold(what: number, more: readonly unknown[]): boolean {
  return what === Passed.EVENTFD || (what === Passed.SOCKET && more[0] === SocketType.DGRAM);
}

/** What serves `fd`, which it owns from now on; a string says why nothing can. */
function serve(rights: Rights, fd: number, found: Streamed): Served | string {
  const { loop } = rights;
  if (found.what === "pipe") {
    const shape = found.reads ? Shape.READ_END : Shape.WRITE_END;
    const bridged = new BytePump({ loop, fd: reopened(fd, found.flags), shape });
    return { what: found.reads ? Passed.PIPE_READ : Passed.PIPE_WRITE, more: [], bridged };
  }
  if (found.what === "socket") return serveSocket(rights, fd, found);
  if (found.what === "memfd") {
    if (found.size > MEMFD_MAX) return `a file in memory of ${found.size} bytes`;
    const seals = Math.max(0, fcntlInt(fd, F_GET_SEALS));
    const offset = Math.max(0, lseek(fd, 0, SEEK_CUR));
    const bridged = new MemfdSource(fd, found.size);
    return { what: Passed.MEMFD, more: [found.size, seals, offset], bridged };
  }
  const bridged = new EventfdEnd(loop, fd);
  return { what: Passed.EVENTFD, more: [isSemaphore(fd) ? 1 : 0], bridged };
}

function serveSocket(
  rights: Rights,
  fd: number,
  { type, isUnix }: Extract<Found, { what: "socket" }>,
): Served {
  const { loop } = rights;
  const peer = "a socket that was passed";
  const ancillary = isUnix ? { ancillary: rights.carrier(peer) } : {};
  const bridged =
    type === SocketType.STREAM
      ? new BytePump({ loop, fd, shape: Shape.SOCKET, peer, ...ancillary })
      : new MessagePump({ loop, fd, type, peer, ...ancillary });
  return { what: Passed.SOCKET, more: [type], bridged };
}

/** Opens a stream once there is room for one; undefined: there was none for too long. */
function openStream(
  { loop, opener }: Rights,
  description: readonly unknown[],
  bridged: Bridged,
  done: (stream: Stream | undefined) => void,
): void {
  let isLate = false;
  let isDone = false;
  const cancel = loop.after(OPEN_MS, () => {
    isLate = true;
    if (!isDone) done(undefined);
  });
  const attempt = (): void => {
    if (isLate) return;
    const stream = opener.open(StreamKind.DESCRIPTOR, description, bridged);
    if (stream === undefined) opener.whenRoom(attempt);
    else {
      isDone = true;
      cancel();
      done(stream);
    }
  };
  attempt();
}

/**
 * connect(2) and bind(2) of unix sockets with abstract names (unix(7)) under a supervisor that was
 * asked for it. A mount's processes have the name served here, or bound on the HOST; the call
 * itself is then carried out by this machine's kernel, in its own way of waiting.
 */
import {
  NAME_CALL,
  NameAct,
  type NameCall,
  NOT_KNOWN,
  putNameCall,
} from "../client/twins/namecall.ts";
import { bytePattern, matches } from "../rexec/server/patterns.ts";
import { cstring } from "../sys/cstring.ts";
import { E, errnoText } from "../sys/errno.ts";
import { ioctl } from "../sys/ioctl.ts";
import { allocate } from "../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat } from "../sys/open.ts";
import { pidfdGetfd, pidfdOpen } from "../sys/process.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "../sys/sockaddr.ts";
import { socketType } from "../sys/sockopt.ts";
import { bindAbstract } from "../sys/unixsocket.ts";
import { type Call, GO_ON, type Verdict } from "./call.ts";

/** Before a name where people write it, as ss(8) has it. */
const MARK = "@";
/** The family, and the NUL before the name. */
const NAME_AT = SOCKADDR_UN.path + 1;
const address = allocate(SOCKADDR_UN_STRUCT_SIZE);

/** A pattern of names as it is written (`@/containerd-shim/*`, the mark may be left out), as one of bytes. */
export function namePattern(text: string): string {
  return bytePattern(text.startsWith(MARK) ? text.slice(MARK.length) : text);
}

/** connect(fd, address, length) */
export async function connectCall(call: Call): Promise<Verdict> {
  const name = nameOf(call);
  if (name === undefined) return GO_ON;
  const fd = duplicate(call);
  const type = fd < 0 ? fd : socketType(fd);
  if (fd >= 0) close(fd);
  if (type > 0) await tell(call, { act: NameAct.CONNECT, type, pid: 0, name });
  return GO_ON;
}

/** bind(fd, address, length) */
export async function bindCall(call: Call): Promise<Verdict> {
  const name = nameOf(call);
  const fd = name === undefined ? -E.EINVAL : duplicate(call);
  if (name === undefined || fd < 0) return GO_ON;
  try {
    const type = socketType(fd);
    if (type < 0 || !call.args.isValid()) return GO_ON;
    const result = await bindHere(call, fd, type, name);
    if (result < 0) return result;
    const pid = call.caller.process;
    const errno = await tell(call, { act: NameAct.BIND, type, pid, name });
    // Another of the HOST's has it: as on one machine. All else is in the log, and the name is this machine's alone.
    return errno === E.EADDRINUSE ? -errno : 0;
  } finally {
    close(fd);
  }
}

/** Binds what the caller has open. What stands here for a name that the HOST has no more makes way. */
async function bindHere(call: Call, fd: number, type: number, name: string): Promise<number> {
  const result = bindAbstract(fd, name);
  if (result !== -E.EADDRINUSE) return result;
  await tell(call, { act: NameAct.CONNECT, type, pid: 0, name });
  return bindAbstract(fd, name);
}

/** What the caller names by its first argument, as ours; or -errno. */
function duplicate({ args, caller }: Call): number {
  const pidfd = pidfdOpen(caller.process);
  if (pidfd < 0) return pidfd;
  const own = pidfdGetfd(pidfd, args.arg32(0) | 0);
  close(pidfd);
  return own;
}

/** The abstract name that the caller's address is, if it is one that the HOST shall know of; a byte a character. */
function nameOf({ args, caller, names, procfs }: Call): string | undefined {
  const length = args.arg32(2);
  if (length <= NAME_AT || length > SOCKADDR_UN_STRUCT_SIZE) return undefined;
  if (caller.get(args.address(1), address.address, length) < 0) return undefined;
  if (address.view.getUint16(SOCKADDR_UN.family, true) !== AF_UNIX) return undefined;
  if (address.bytes[SOCKADDR_UN.path] !== 0) return undefined;
  const name = address.bytes.latin1Slice(NAME_AT, length);
  if (!names.some((pattern) => matches(pattern, name))) return undefined;
  // Names are each network namespace's own: the HOST's are those of this machine's own.
  return procfs.inode(`${caller.tid}/ns/net`) === procfs.inode("self/ns/net") ? name : undefined;
}

/** Tells a mount's process, and waits for it: 0 or an errno, which is in the log. */
async function tell(call: Call, act: NameCall): Promise<number> {
  let errno: number = E.ENOENT;
  for (const { target } of await call.shares.all()) {
    errno = tellMount(target, act);
    // Another export may allow it, or another server have it.
    if (errno !== E.EPERM && errno !== E.ECONNREFUSED) break;
  }
  if (errno !== 0 && errno !== E.ECONNREFUSED) call.log("warn", sentence(act.name, errno));
  return errno;
}

function tellMount(target: string, act: NameCall): number {
  const fd = openat(AT_FDCWD, cstring(target), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return -fd;
  const result = ioctl(fd, NAME_CALL, putNameCall(act));
  close(fd);
  return result === NOT_KNOWN ? E.ETIMEDOUT : -result;
}

function sentence(name: string, errno: number): string {
  const why =
    errno === E.EPERM
      ? "no export of the server allows the class names (qtfs server --export PATH:rw,names)"
      : errnoText(errno);
  return `The name ${MARK}${name} is this machine's alone: ${why}`;
}

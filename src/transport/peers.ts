/** Who is at the other end of a connection, and whether the listener is for them. */
import { E } from "../sys/errno.ts";
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";
import { peerCredentials } from "../sys/sockopt.ts";
import { RESERVED_PORT_LAST, vsockPeer } from "../sys/vsock.ts";
import type { Address } from "./address.ts";
import type { PeerIdentity } from "./transport.ts";

/** User id of who cannot be told, as SO_PEERCRED says it: (uid_t)-1. */
const NO_UID = 0xffff_ffff;

/** Whoever has the device or the file: nothing more is known of them. */
export const OVER_PCIE: PeerIdentity = { description: "a client over PCIe" };

/** A listening socket and who may connect to it. */
export interface Listener {
  readonly fd: number;
  readonly kind: Address["kind"];
  /** Whether it lets in by certificates. */
  readonly tls?: boolean;
  /** User ids, where it is a unix socket. */
  readonly uids: readonly number[];
  /** Numbers of machines, where it is a vsock; VMADDR_CID_ANY for all. */
  readonly cids: readonly number[];
}

/** Why whoever has connected by `fd` may not, or undefined if it may. */
export function refusalOf(fd: number, listener: Listener): string | undefined {
  if (listener.kind === "unix") return refusalOfUser(fd, listener.uids);
  return listener.kind === "vsock" ? refusalOfMachine(fd, listener.cids) : undefined;
}

function refusalOfUser(fd: number, uids: readonly number[]): string | undefined {
  const who = peerCredentials(fd);
  if (typeof who === "number") return "its credentials cannot be read";
  if (uids.includes(who.uid)) return undefined;
  return `uid ${who.uid} (pid ${who.pid}) is not among those allowed (${uids.join(", ")})`;
}

/** The hypervisor vouches for the machine, a reserved port for its root: any user may have others. */
function refusalOfMachine(fd: number, cids: readonly number[]): string | undefined {
  const who = vsockPeer(fd);
  if (who === undefined) return "its machine cannot be told";
  if (!cids.includes(who.cid) && !cids.includes(VMADDR_CID_ANY)) {
    return `CID ${who.cid} is not among those allowed (${cids.join(", ")})`;
  }
  if (who.port <= RESERVED_PORT_LAST) return undefined;
  return `CID ${who.cid} connects from port ${who.port}, which any of its users may have`;
}

/** Whether `fd` is a lane of a PCIe link (sys/qtdma.ts), not a socket. */
export function isLane(fd: number): boolean {
  return peerCredentials(fd) === -E.ENOTSOCK;
}

/** Who is at the other end of `fd`, as far as the kernel can tell. */
export function identifyPeer(fd: number): PeerIdentity {
  const machine = vsockPeer(fd);
  if (machine !== undefined) return { description: `CID ${machine.cid}, port ${machine.port}` };
  const who = peerCredentials(fd);
  if (who === -E.ENOTSOCK) return OVER_PCIE;
  if (typeof who === "number" || who.uid === NO_UID) return { description: "a TCP client" };
  return { description: `uid ${who.uid}, pid ${who.pid}`, uid: who.uid };
}

/** Who is at the other end of a connection. */

import { peerText } from "../../sys/socket.ts";
import { peerCredentials, peerGroups } from "../../sys/sockopt.ts";
import type { Address } from "../../transport/address.ts";
import { identifyPeer, OVER_PCIE } from "../../transport/peers.ts";
import type { PeerIdentity } from "../../transport/transport.ts";

/** `uid` is known of a unix socket's peer alone; the others are -1 and empty then. */
export interface Client extends PeerIdentity {
  readonly pid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Patterns (patterns.ts) of what it was enrolled to run, where it has shown a certificate. */
  readonly programs?: readonly string[];
  /** Over TCP: where its connection comes from. */
  readonly from?: string;
  /** By TLS: what its connection to the server is called, of which the keeper has only a relay. */
  readonly relay?: string;
}

/** Who has connected by `fd`; over PCIe that is a socket of our own. */
export function identifyClient(fd: number, kind: Address["kind"]): Client {
  if (kind === "pcie") {
    return { description: OVER_PCIE.description, pid: -1, gid: -1, groups: [] };
  }
  const peer = identifyPeer(fd);
  const who = peer.uid === undefined ? -1 : peerCredentials(fd);
  const from = kind === "tcp" ? { from: peerText(fd) } : {};
  if (typeof who === "number") return { ...peer, ...from, pid: -1, gid: -1, groups: [] };
  const { pid, gid } = who;
  return { ...peer, gid, pid, groups: peerGroups(fd) };
}

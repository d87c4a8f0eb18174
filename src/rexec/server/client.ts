/** Who is at the other end of a connection. */
import { peerCredentials, peerGroups } from "../../sys/sockopt.ts";
import type { PeerIdentity } from "../../transport/transport.ts";

/** `uid` is known of a unix socket's peer alone; the others are -1 and empty then. */
export interface Client extends PeerIdentity {
  readonly pid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Who has connected by `fd`. */
export function identifyClient(fd: number, isUnix: boolean): Client {
  const who = isUnix ? peerCredentials(fd) : -1;
  if (typeof who === "number") {
    return { description: "a TCP client", pid: -1, gid: -1, groups: [] };
  }
  const { pid, uid, gid } = who;
  return { description: `uid ${uid}, pid ${pid}`, uid, gid, pid, groups: peerGroups(fd) };
}

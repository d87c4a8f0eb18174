/** Who is at the other end of a connection, by its certificate where it has shown one. */

import { TlsEnd } from "../sys/openssl/end.ts";
import { peerText } from "../sys/socket.ts";
import type { Channel } from "../transport/channel.ts";
import { PlainChannel } from "../transport/channel.ts";
import { LaneChannel } from "../transport/pcie.ts";
import { identifyPeer, isLane } from "../transport/peers.ts";
import { TlsChannel } from "../transport/tls.ts";
import type { PeerIdentity } from "../transport/transport.ts";
import { shownBy } from "./names.ts";

/** The channel over `fd`, a socket or a lane of a PCIe link, whose end of TLS, greeted by another thread, is at `tls`; plain for 0. */
export function channelOf(fd: number, tls: number): Channel {
  if (tls !== 0) return new TlsChannel(fd, TlsEnd.at(tls));
  return isLane(fd) ? new LaneChannel(fd) : new PlainChannel(fd);
}

export function identify(channel: Channel): PeerIdentity {
  const { fd } = channel;
  if (!(channel instanceof TlsChannel)) return identifyPeer(fd);
  const certificate = channel.end.certificate();
  const [name] = certificate === undefined ? [] : shownBy(certificate).uris;
  // The acceptor has let in nobody without a name.
  if (name === undefined) return { description: peerText(fd) };
  return { description: `${name.replace(/^.*\/client\//, "")} at ${peerText(fd)}`, name };
}

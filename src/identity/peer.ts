/** Who is at the other end of a connection, by its certificate where it has shown one. */

import { TlsEnd } from "../sys/openssl.ts";
import { peerText } from "../sys/socket.ts";
import type { Channel } from "../transport/channel.ts";
import { PlainChannel } from "../transport/channel.ts";
import { identifyPeer } from "../transport/peers.ts";
import { TlsChannel } from "../transport/tls.ts";
import type { PeerIdentity } from "../transport/transport.ts";
import { shownBy } from "./names.ts";

/** The channel over `fd` whose end of TLS, greeted by another thread, is at `tls`; plain for 0. */
export function channelOf(fd: number, tls: number): Channel {
  return tls === 0 ? new PlainChannel(fd) : new TlsChannel(fd, TlsEnd.at(tls));
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

/** What a peer did against the protocol; its connection is closed with this reason. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

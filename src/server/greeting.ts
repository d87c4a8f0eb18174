/** The handshake, server side. */
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { CAPABILITIES, commonVersion, decodeClientHello, encodeHello } from "../wire/hello.ts";
import { SLOTS_MAX, VERSION_MAX, VERSION_MIN } from "../wire/limits.ts";
import type { Session } from "./session.ts";

/** How long a session outlives its connection. */
const LEASE_MS = 60_000;

/** Answers the HELLO in the session's reader. */
export function greet(session: Session): void {
  if (session.greeted) throw new ProtocolError("HELLO twice");
  const { reader, transport } = session;
  const hello = decodeClientHello(reader.bytes.subarray(reader.at, reader.end));
  const version = commonVersion(hello.versions);
  if (version === 0) {
    const [oldest, newest] = hello.versions;
    session.end(
      Goodbye.VERSION,
      `client speaks protocol ${oldest} to ${newest}, this server ${VERSION_MIN} to ` +
        `${VERSION_MAX}: install the same release of qtfs on both sides`,
    );
    return;
  }
  session.greeted = true;
  session.name = hello.session;
  session.role = hello.role;
  const answer = encodeHello({
    version,
    capabilities: CAPABILITIES.filter((name) => hello.capabilities.includes(name)),
    slots: SLOTS_MAX,
    leaseMs: LEASE_MS,
    resumed: false,
    oneways: 0,
    lives: 1,
    facts: session.services.facts,
  });
  const w = transport.begin(Kind.HELLO);
  w.bytes.set(answer, w.at);
  w.at += answer.length;
  transport.end();
  transport.flush();
}

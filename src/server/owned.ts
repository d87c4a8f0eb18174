/** Whose a session is, where clients are known by name. */
import { createHash } from "node:crypto";
import type { ClientHello } from "../wire/hello.ts";

const ID_DIGITS = 32;

/**
 * `hello` with ids of sessions that are `name`'s alone: whoever knows the id of a session, and
 * shows a certificate for another name, asks for another session.
 */
export function ownedBy(name: string | undefined, hello: ClientHello): ClientHello {
  if (name === undefined) return hello;
  const { parent, session } = hello;
  return {
    ...hello,
    session: ownId(name, session),
    ...(parent !== undefined && { parent: ownId(name, parent) }),
  };
}

function ownId(name: string, id: string): string {
  const digest = createHash("sha256").update(`${name}\0${id}`).digest("hex");
  return digest.slice(0, ID_DIGITS);
}

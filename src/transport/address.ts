/** Addresses as users write them: `unix:///path`, `tcp://host:port`. */

export type Address = { kind: "unix"; path: string } | { kind: "tcp"; host: string; port: number };

/** Where server and mount meet when nobody says otherwise. */
export const DEFAULT_SERVER: Address = { kind: "unix", path: "/run/qtfs/server.sock" };

/** Where rexec and rexec-server do. */
export const DEFAULT_REXEC: Address = { kind: "unix", path: "/run/qtfs/rexec.sock" };

/** sun_path without its terminator (unix(7)). */
const UNIX_PATH_MAX = 107;
const PORT_MAX = 65535;

/** Reads an address; throws a sentence that says what is wrong with it. */
export function parseAddress(text: string): Address {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (!path.startsWith("/"))
      throw new Error(`Address "${text}" needs an absolute path: unix:///path`);
    if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
      throw new Error(`Address "${text}" is longer than a unix socket's name may be`);
    }
    return { kind: "unix", path };
  }
  if (text.startsWith("tcp://")) {
    const match = /^tcp:\/\/(\[[^\]]+\]|[^:/[\]]+):(\d+)$/.exec(text);
    const port = Number(match?.[2]);
    if (match === null || port < 1 || port > PORT_MAX) {
      throw new Error(`Address "${text}" is not of the form tcp://host:port`);
    }
    return { kind: "tcp", host: (match[1] as string).replace(/^\[|\]$/g, ""), port };
  }
  if (text.startsWith("/")) return parseAddress(`unix://${text}`);
  throw new Error(`Address "${text}" must begin with unix:// or tcp://`);
}

/** The address as users write it. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

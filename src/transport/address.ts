/** Addresses as users write them: `unix:///path`, `tcp://host:port`, `vsock://cid:port`, `pcie:///path`. */
import { DEVICES } from "../sys/qtdma.ts";
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";

export type Address =
  | { kind: "unix"; path: string }
  | {
      kind: "tcp";
      host: string;
      port: number;
      /** File of the identity that a client shows there; without TLS if there is none. */
      identity?: string;
    }
  | { kind: "vsock"; cid: number; port: number }
  | { kind: "pcie"; path: string; port: number };

/** Where server and mount meet when nobody says otherwise. */
export const DEFAULT_SERVER: Address = { kind: "unix", path: "/run/qtfs/server.sock" };

/** Where rexec and rexec-server do. */
export const DEFAULT_REXEC: Address = { kind: "unix", path: "/run/qtfs/rexec.sock" };

/** sun_path without its terminator (unix(7)). */
const UNIX_PATH_MAX = 107;
const PORT_MAX = 65535;
/** QTDMA_PORTS of ffi/qtdma.h, less one. */
const LINK_PORT_MAX = 15;

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
  if (text.startsWith("vsock://")) return parseVsock(text);
  if (text.startsWith("pcie://")) return parsePcie(text);
  if (text.startsWith("/")) return parseAddress(`unix://${text}`);
  throw new Error(`Address "${text}" must begin with unix://, tcp://, vsock:// or pcie://`);
}

function parseVsock(text: string): Address {
  const match = /^vsock:\/\/(\d+|any):(\d+)$/.exec(text);
  const cid = match?.[1] === "any" ? VMADDR_CID_ANY : Number(match?.[1]);
  const port = Number(match?.[2]);
  // The highest numbers mean any machine, and any port (vsock(7)).
  if (match === null || cid > VMADDR_CID_ANY || port >= VMADDR_CID_ANY) {
    throw new Error(`Address "${text}" is not of the form vsock://CID:PORT (CID: number or any)`);
  }
  return { kind: "vsock", cid, port };
}

/** A file, a resourceN or the directory of a device in sysfs, or the device's place on the bus. */
function parsePcie(text: string): Address {
  const device = /^pcie:\/\/([\da-f]{4}:[\da-f]{2}:[\da-f]{2}\.[0-7])(?::(\d+))?$/i.exec(text);
  const match = device ?? /^pcie:\/\/(\/.*?)(?::(\d+))?$/.exec(text);
  const port = Number(match?.[2] ?? 0);
  if (match === null || port > LINK_PORT_MAX) {
    throw new Error(
      `Address "${text}" is not of the form pcie:///path or pcie://0000:00:00.0, ` +
        `with :1 to :${LINK_PORT_MAX} behind it for further daemons on the same link`,
    );
  }
  const place = match[1] as string;
  const path = device === null ? place : `${DEVICES}/${place.toLowerCase()}`;
  return { kind: "pcie", path, port };
}

function formatPcie(path: string, port: number): string {
  const device = path.startsWith(`${DEVICES}/`) ? path.slice(DEVICES.length + 1) : "/";
  const place = device.includes("/") ? path : device;
  return `pcie://${place}${port === 0 ? "" : `:${port}`}`;
}

/** The address as users write it. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  if (address.kind === "vsock") {
    return `vsock://${address.cid === VMADDR_CID_ANY ? "any" : address.cid}:${address.port}`;
  }
  if (address.kind === "pcie") return formatPcie(address.path, address.port);
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

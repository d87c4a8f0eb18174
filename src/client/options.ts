/** How a directory of the HOST is mounted. */
import type { Address } from "../transport/address.ts";
import type { CacheMode } from "./client.ts";
import type { Guardian, Kept } from "./keeper.ts";

export interface MountOptions {
  /** Where the server is: addresses that lead to the same one, tried in turn. */
  servers: Address[];
  /** Path on the HOST. */
  source: string;
  /** Absolute path of the mountpoint here. */
  target: string;
  readOnly: boolean;
  cache: CacheMode;
  /** Shows the callers' own processes in the HOST's /proc. */
  proc: boolean;
  suid: boolean;
  dev: boolean;
  /** Shows devices as files, whose reads and writes are the HOST's. */
  deviceFiles: boolean;
  /** Refuses symbolic links that could lead out of the mount. */
  containsLinks: boolean;
  noexec: boolean;
  noatime: boolean;
  /** File of the identity that is shown at tcp:// addresses; without TLS if there is none. */
  identity?: string;
  /** Allows TCP, where nobody can tell who answers. */
  insecure: boolean;
  /** Bound on waiting for a server that is silent. */
  timeoutMs: number;
  /** Wait for ever instead. */
  hard: boolean;
  /** Shown in /proc/mounts. */
  fsname: string;
  allowOther: boolean;
  /** The command that takes the mount over should this process die; none if empty. */
  successor: readonly string[];
  /** The command of the process that serves the HOST's sockets and FIFOs here; none if empty. */
  twins: readonly string[];
  /** Shows the HOST's mounts below `source` within this one file system. */
  flat: boolean;
  /** Gives the mount's descriptors to somebody else than a keeper; throws why it cannot. */
  store?: ((own: Kept) => Guardian) | undefined;
  log(level: "debug" | "info" | "warn" | "error", text: string): void;
}

/** What is each process's own, and not left to the next one. */
export type OwnOptions = "log" | "successor" | "store" | "twins";

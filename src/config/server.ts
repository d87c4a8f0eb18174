/**
 * The configuration of `qtfs server --config FILE`. Loaded only with that
 * option, as zod is the largest part of a start.
 *
 * ```toml
 * listen = ["unix:///run/qtfs/server.sock"]
 * allow_uids = [0]          # who may connect to unix sockets
 * allow_cids = [2]          # which machines may connect by vsock
 * insecure = false          # true allows tcp:// without authentication
 * identities = "/etc/qtfs/tls"  # where enrolled clients are known
 * log_level = "info"        # error, warn, info, debug, trace
 * state_dir = "/run/qtfs/sessions"
 * threads = 4               # that serve clients, at most
 *
 * [[export]]
 * path = "/srv"
 *
 * [[export]]
 * path = "/usr/share"
 * read_only = true
 * magic_links = false       # true follows /proc/<pid>/root and the like out of the export
 *
 * [[export]]
 * path = "/var/lib/docker"
 * allow = ["sysmount"]      # beside using files: sysmount, device, ioctl, process, names
 *
 * [[policy]]                # how files of a type, or below a directory, are treated
 * type = "nfs"              # a name of server/fstypes.ts, or a number like 0x6969
 * policy = "watched"        # live, watched, short
 *
 * [[policy]]
 * path = "/srv/state"
 * policy = "live"
 * ```
 */
import { z } from "zod";
import { LOG_LEVELS, type LogLevel } from "../info/log.ts";
import { OPERATION_CLASSES } from "../server/classes.ts";
import { REACTORS_MAX } from "../server/daemon.ts";
import type { Export } from "../server/exports.ts";
import type { PolicyRule } from "../server/policy.ts";
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";
import type { Address } from "../transport/address.ts";
import { policyRule, policyTable } from "./policies.ts";
import { address, explain } from "./schema.ts";
import { readToml } from "./toml.ts";

/** What a file says; what it leaves out is absent. */
export interface ServerConfig {
  listen?: Address[];
  allowUids?: number[];
  allowCids?: number[];
  insecure?: boolean;
  /** Where enrolled clients are known. */
  identities?: string;
  logLevel?: LogLevel;
  /** Where sessions outlive the process. */
  stateDir?: string;
  /** How many threads may serve clients. */
  threads?: number;
  exports: Export[];
  /** How files are treated, as far as it is not built in. */
  policies?: PolicyRule[];
}

const LISTEN_MAX = 64;
const EXPORTS_MAX = 256;
const POLICIES_MAX = 256;
const UID_MAX = 0xffff_fffe;

const exportTable = z.strictObject({
  path: z.string().startsWith("/", "it must be an absolute path"),
  read_only: z.boolean().default(false),
  allow: z.array(z.enum(OPERATION_CLASSES)).max(OPERATION_CLASSES.length).optional(),
  magic_links: z.boolean().optional(),
});

const schema = z.strictObject({
  listen: z.array(address).min(1).max(LISTEN_MAX).optional(),
  allow_uids: z.array(z.int().min(0).max(UID_MAX)).optional(),
  allow_cids: z.array(z.int().min(0).max(VMADDR_CID_ANY)).optional(),
  insecure: z.boolean().optional(),
  identities: z.string().startsWith("/", "it must be an absolute path").optional(),
  log_level: z.enum(LOG_LEVELS as [LogLevel, ...LogLevel[]]).optional(),
  state_dir: z.string().startsWith("/", "it must be an absolute path").optional(),
  threads: z.int().min(1).max(REACTORS_MAX).optional(),
  export: z.array(exportTable).max(EXPORTS_MAX).default([]),
  policy: z.array(policyRule).max(POLICIES_MAX).optional(),
});

/** Reads and checks a configuration; throws a sentence that names file, line and key. */
export function readServerConfig(path: string): ServerConfig {
  const file = readToml(path);
  const result = schema.safeParse(file.value);
  if (!result.success) throw new Error(explain(file, result.error, schema, TABLES));
  const { listen, allow_uids, allow_cids, identities, insecure, log_level, policy, state_dir } =
    result.data;
  const { threads } = result.data;
  return {
    ...(listen && { listen }),
    ...(allow_uids && { allowUids: allow_uids }),
    ...(allow_cids && { allowCids: allow_cids }),
    ...(insecure !== undefined && { insecure }),
    ...(identities && { identities }),
    ...(log_level && { logLevel: log_level }),
    ...(state_dir && { stateDir: state_dir }),
    ...(threads && { threads }),
    ...(policy && { policies: policy }),
    exports: result.data.export.map(({ path, read_only, allow, magic_links }) => ({
      path,
      readOnly: read_only,
      ...(allow && { allow }),
      ...(magic_links !== undefined && { magicLinks: magic_links }),
    })),
  };
}

/** The tables that may be there several times. */
const TABLES = { export: exportTable, policy: policyTable };

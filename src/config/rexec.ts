/**
 * The configuration of `qtfs rexec-server --config FILE`. Loaded only with that option.
 *
 * ```toml
 * listen = ["unix:///run/qtfs/rexec.sock"]
 * allow_uids = [0]          # who may connect to unix sockets
 * allow_cids = [2]          # which machines may connect by vsock
 * insecure = false          # true allows tcp:// without authentication
 * lease_s = 60              # how long programs outlive a lost connection
 * log_level = "info"        # error, warn, info, debug, trace
 *
 * [[allow]]
 * program = "/usr/bin/containerd-shim-*"
 * args = "-namespace moby *"   # all arguments, joined by blanks; any without this
 * ```
 */
import { z } from "zod";
import { LOG_LEVELS, type LogLevel } from "../info/log.ts";
import type { Rule } from "../rexec/server/rules.ts";
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";
import type { Address } from "../transport/address.ts";
import { address, explain } from "./schema.ts";
import { readToml } from "./toml.ts";

/** What a file says; what it leaves out is absent. */
export interface RexecServerConfig {
  listen?: Address[];
  allowUids?: number[];
  allowCids?: number[];
  insecure?: boolean;
  leaseS?: number;
  logLevel?: LogLevel;
  rules?: Rule[];
}

const LISTEN_MAX = 64;
const RULES_MAX = 256;
const UID_MAX = 0xffff_fffe;
const LEASE_S_MAX = 30 * 24 * 3600;

const allowTable = z.strictObject({
  program: z.string().regex(/^[/*]/, "it must be an absolute path"),
  args: z.string().optional(),
});

const schema = z.strictObject({
  listen: z.array(address).min(1).max(LISTEN_MAX).optional(),
  allow_uids: z.array(z.int().min(0).max(UID_MAX)).optional(),
  allow_cids: z.array(z.int().min(0).max(VMADDR_CID_ANY)).optional(),
  insecure: z.boolean().optional(),
  lease_s: z.int().min(1).max(LEASE_S_MAX).optional(),
  log_level: z.enum(LOG_LEVELS as [LogLevel, ...LogLevel[]]).optional(),
  allow: z.array(allowTable).max(RULES_MAX).optional(),
});

/** Reads and checks a configuration; throws a sentence that names file, line and key. */
export function readRexecConfig(path: string): RexecServerConfig {
  const file = readToml(path);
  const result = schema.safeParse(file.value);
  if (!result.success) throw new Error(explain(file, result.error, schema, { allow: allowTable }));
  const { listen, allow_uids, allow_cids, insecure, lease_s, log_level, allow } = result.data;
  return {
    ...(listen && { listen }),
    ...(allow_uids && { allowUids: allow_uids }),
    ...(allow_cids && { allowCids: allow_cids }),
    ...(insecure !== undefined && { insecure }),
    ...(lease_s !== undefined && { leaseS: lease_s }),
    ...(log_level && { logLevel: log_level }),
    ...(allow && {
      rules: allow.map(({ program, args }) => ({ program, ...(args !== undefined && { args }) })),
    }),
  };
}

/**
 * The configuration of `qtfs rexec-server --config FILE`. Loaded only with that option.
 *
 * ```toml
 * listen = ["unix:///run/qtfs/rexec.sock"]
 * allow_uids = [0]          # who may connect to unix sockets, beside whom rules name
 * allow_cids = [2]          # which machines may connect by vsock
 * identities = "/etc/qtfs/tls"  # where enrolled clients are known
 * insecure = false          # true allows tcp:// without authentication
 * lease_s = 60              # how long programs outlive a lost connection
 * log_level = "info"        # error, warn, info, debug, trace
 * cgroup_parent = "/sys/fs/cgroup/qtfs"   # or one for each hierarchy of version 1
 *
 * [[allow]]                 # the first that allows a program counts
 * name = "shims"            # in the log; its number without it
 * users = ["containers", 1000]   # clients of unix sockets; all who may connect without it
 * tcp = false               # true: everybody who reaches a tcp:// port, too; needs as
 * program = "/usr/bin/containerd-shim-*"
 * args = ["-namespace", "moby", "..."]    # one pattern each; or one text for all, joined by blanks
 * as = "root"               # "*" or nothing: as the client, root as it likes
 * group = "docker"          # and groups = […]: instead of the user's
 * env_pass = ["LANG", "LC_*"]
 * env_set = { PATH = "/usr/bin:/bin" }
 * cwd = "/run/containers"
 * max = 100                 # at once
 * limits = { nofile = 4096, as = "2G", core = "0:unlimited" }
 * cgroup = "shims"          # beneath cgroup_parent; or an absolute path
 * timeout_s = 3600
 * on_lost = "keep"          # or terminate: when the client is away for longer than lease_s
 * ```
 */
import { z } from "zod";
import { LOG_LEVELS, type LogLevel } from "../info/log.ts";
import type { Rule } from "../rexec/server/rules.ts";
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";
import type { Address } from "../transport/address.ts";
import { allowTable, cgroupFault, cgroupParent, RuleError, readRule } from "./rexecrules.ts";
import { address, explain } from "./schema.ts";
import { readToml } from "./toml.ts";

/** What a file says; what it leaves out is absent. */
export interface RexecServerConfig {
  listen?: Address[];
  allowUids?: number[];
  allowCids?: number[];
  /** Where enrolled clients are known. */
  identities?: string;
  insecure?: boolean;
  leaseS?: number;
  logLevel?: LogLevel;
  rules?: Rule[];
}

const LISTEN_MAX = 64;
const RULES_MAX = 256;
const UID_MAX = 0xffff_fffe;
const LEASE_S_MAX = 30 * 24 * 3600;

const schema = z.strictObject({
  listen: z.array(address).min(1).max(LISTEN_MAX).optional(),
  allow_uids: z.array(z.int().min(0).max(UID_MAX)).optional(),
  allow_cids: z.array(z.int().min(0).max(VMADDR_CID_ANY)).optional(),
  identities: z.string().startsWith("/", "it must be an absolute path").optional(),
  insecure: z.boolean().optional(),
  lease_s: z.int().min(1).max(LEASE_S_MAX).optional(),
  log_level: z.enum(LOG_LEVELS as [LogLevel, ...LogLevel[]]).optional(),
  cgroup_parent: cgroupParent.optional(),
  allow: z.array(allowTable).max(RULES_MAX).optional(),
});

/** With its rules; what is wrong with them is told as of their keys. */
const withRules = schema.transform((value, context) => {
  const parents = [value.cgroup_parent ?? []].flat();
  const refuse = (path: PropertyKey[], message: string) => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  const fault = parents.map(cgroupFault).find((sentence) => sentence !== undefined);
  if (fault !== undefined) return refuse(["cgroup_parent"], fault);
  const rules: Rule[] = [];
  for (const [index, entry] of (value.allow ?? []).entries()) {
    try {
      const rule = readRule(entry, index, parents);
      if (rules.some(({ name }) => name === rule.name)) {
        throw new RuleError("name", `an earlier rule is called ${rule.name}, too`);
      }
      rules.push(rule);
    } catch (error) {
      if (error instanceof RuleError) return refuse(["allow", index, error.key], error.message);
      throw error;
    }
  }
  return { ...value, rules };
});

/** Reads and checks a configuration; throws a sentence that names file, line and key. */
export function readRexecConfig(path: string): RexecServerConfig {
  const file = readToml(path);
  const result = withRules.safeParse(file.value);
  if (!result.success) throw new Error(explain(file, result.error, schema, { allow: allowTable }));
  const { listen, allow_uids, allow_cids, identities, insecure, lease_s, log_level, rules } =
    result.data;
  return {
    ...(listen && { listen }),
    ...(allow_uids && { allowUids: allow_uids }),
    ...(allow_cids && { allowCids: allow_cids }),
    ...(identities && { identities }),
    ...(insecure !== undefined && { insecure }),
    ...(lease_s !== undefined && { leaseS: lease_s }),
    ...(log_level && { logLevel: log_level }),
    ...(rules.length > 0 && { rules }),
  };
}

/** `[[allow]]` of a rexec-server's configuration: who may run what, as whom, and with what. */
import { z } from "zod";
import { PASSED_TO_OTHERS } from "../rexec/server/environment.ts";
import { bytePattern } from "../rexec/server/patterns.ts";
import type { Rule, RunAs } from "../rexec/server/rules.ts";
import { checkCgroup } from "../sys/cgroup.ts";
import { E, errnoText } from "../sys/errno.ts";
import { findGroup, findUser, groupsOf, type User } from "../sys/users.ts";
import { PROGRAMS_MAX } from "../wire/limits.ts";
import { LIMIT_NAMES, readLimit } from "./rexeclimits.ts";
import { suggestion } from "./suggest.ts";

const ID_MAX = 0xffff_fffe;
const LIST_MAX = 256;
const CGROUPS_MAX = 16;
/** As it is told to the keeper, in one message (rexec/server/channel.ts). */
const RULE_BYTES_MAX = 32 * 1024;
const TIMEOUT_S_MAX = 365 * 24 * 3600;
const MS_PER_S = 1000;
/** As whom the client likes. */
const ANYBODY = "*";

const noNul = z.string().regex(/^[^\0]*$/, "it must not hold a NUL");
const absolutePath = noNul.startsWith("/", "it must be an absolute path");
const id = z.union(
  [z.string().min(1), z.int().min(0).max(ID_MAX)],
  "it must be a name or a number",
);
const variable = z.string().regex(/^[^=\0]+$/, "names of variables hold no = and no NUL");
const cgroup = noNul.regex(
  /^(\/.*|(?!\.|cgroup\.)[\w.@:-]+)$/,
  "it must be an absolute path, or a name beneath cgroup_parent",
);

export const allowTable = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.:@-]{1,64}$/, "it must be of letters, digits and . : @ _ -")
    .optional(),
  users: z.array(id).max(LIST_MAX).optional(),
  tcp: z.boolean().optional(),
  program: noNul.regex(/^[/*]/, "it must be an absolute path"),
  args: z
    .union([noNul, z.array(noNul).max(LIST_MAX)], "it must be a text, or a list of texts")
    .optional(),
  as: id.optional(),
  group: id.optional(),
  groups: z.array(id).max(LIST_MAX).optional(),
  env_pass: z.array(variable).max(LIST_MAX).optional(),
  env_set: z.record(variable, noNul).optional(),
  cwd: absolutePath.optional(),
  max: z.int().min(1).max(PROGRAMS_MAX).optional(),
  limits: z.record(z.string(), z.union([z.int(), z.string()])).optional(),
  cgroup: z.union([cgroup, z.array(cgroup).min(1).max(CGROUPS_MAX)]).optional(),
  timeout_s: z.number().positive().max(TIMEOUT_S_MAX).optional(),
  on_lost: z.enum(["keep", "terminate"]).optional(),
});

/** Where cgroups are that rules name: one directory, or one for each hierarchy of version 1. */
export const cgroupParent = z.union(
  [absolutePath, z.array(absolutePath).min(1).max(CGROUPS_MAX)],
  "it must be an absolute path, or a list of such",
);

type Entry = z.infer<typeof allowTable>;

/** What is wrong with a rule: the key, and why. */
export class RuleError extends Error {
  readonly key: string;

  constructor(key: string, message: string) {
    super(message);
    this.key = key;
  }
}

/** The table as a rule, the `index`th; what is wrong with it is thrown as a RuleError. */
export function readRule(entry: Entry, index: number, cgroupParents: readonly string[]): Rule {
  const rule = asRule(entry, index, cgroupParents);
  if (Buffer.byteLength(JSON.stringify(rule)) <= RULE_BYTES_MAX) return rule;
  throw new RuleError("program", `this rule is longer than ${RULE_BYTES_MAX} bytes`);
}

function asRule(entry: Entry, index: number, cgroupParents: readonly string[]): Rule {
  const { name, users, tcp, program, args, cwd, max, timeout_s, on_lost } = entry;
  if (tcp === true && entry.as === undefined) {
    const whom = `say with as whom everybody becomes who reaches the port ("${ANYBODY}": whom he likes)`;
    throw new RuleError("tcp", whom);
  }
  if (users?.length === 0 && tcp !== true) throw new RuleError("users", "it is a rule for nobody");
  const user = entry.as === undefined || entry.as === ANYBODY ? undefined : readUser(entry.as);
  const as = readAs(entry, user);
  const env = readEnv(entry, user);
  const cgroups = readCgroups(entry, cgroupParents);
  return {
    name: name ?? `${index + 1}`,
    ...(users && { users: users.map((one) => readUid(one)) }),
    ...(tcp !== undefined && { tcp }),
    program: bytePattern(program),
    ...(args !== undefined && {
      args: typeof args === "string" ? bytePattern(args) : args.map(bytePattern),
    }),
    ...(as && { as }),
    ...(env && { env }),
    ...(cwd !== undefined && { cwd }),
    ...(max !== undefined && { max }),
    ...(entry.limits && { limits: readLimits(entry.limits) }),
    ...(cgroups && { cgroups }),
    ...(timeout_s !== undefined && { timeoutMs: Math.max(1, Math.round(timeout_s * MS_PER_S)) }),
    ...(on_lost && { onLost: on_lost }),
  };
}

function readUid(who: string | number): number {
  if (typeof who === "number") return who;
  const user = findUser(who);
  if (user === undefined) throw new RuleError("users", `there is no user "${who}"`);
  return user.uid;
}

/** A number need not be a known user's. */
function readUser(who: string | number): User | number {
  const user = findUser(who);
  if (user !== undefined) return user;
  if (typeof who === "number") return who;
  throw new RuleError("as", `there is no user "${who}"`);
}

function readGroup(key: string, which: string | number): number {
  const gid = typeof which === "number" ? which : findGroup(which);
  if (gid === undefined) throw new RuleError(key, `there is no group "${which}"`);
  return gid;
}

function readAs({ group, groups }: Entry, user: User | number | undefined): RunAs | undefined {
  if (user === undefined) {
    const key = group !== undefined ? "group" : "groups";
    if (group !== undefined || groups) throw new RuleError(key, "it needs as, with a user");
    return undefined;
  }
  const isKnown = typeof user !== "number";
  if (!isKnown && group === undefined) {
    throw new RuleError("as", `no user has the number ${user}: give its group, too`);
  }
  const gid = group === undefined ? (isKnown ? user.gid : 0) : readGroup("group", group);
  const named = groups?.map((one) => readGroup("groups", one));
  const own = isKnown ? groupsOf(user.name, gid) : [gid];
  return { uid: isKnown ? user.uid : user, gid, groups: named ?? own };
}

const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function readEnv({ env_pass, env_set }: Entry, user: User | number | undefined): Rule["env"] {
  const isGuarded = user !== undefined;
  if (!isGuarded && env_pass === undefined && env_set === undefined) return undefined;
  const inBytes = ([name, value]: [string, string]): [string, string] => [
    bytePattern(name),
    bytePattern(value),
  ];
  return {
    pass: (env_pass ?? (isGuarded ? PASSED_TO_OTHERS : ["*"])).map(bytePattern),
    set: Object.entries(env_set ?? {}).map(inBytes),
    defaults: isGuarded ? environmentOf(user).map(inBytes) : [],
    isGuarded,
  };
}

function environmentOf(user: User | number): [string, string][] {
  const path: [string, string] = ["PATH", SEARCH_PATH];
  if (typeof user === "number") return [path];
  const { name, home, shell } = user;
  return [path, ["HOME", home], ["SHELL", shell], ["USER", name], ["LOGNAME", name]];
}

function readLimits(
  limits: Readonly<Record<string, string | number>>,
): NonNullable<Rule["limits"]> {
  return Object.entries(limits).map(([name, value]) => {
    const resource = LIMIT_NAMES.get(name);
    if (resource === undefined) {
      const near = suggestion(name, LIMIT_NAMES.keys());
      throw new RuleError("limits", `no limit is called "${name}"${near}`);
    }
    const limit = readLimit(value);
    if (typeof limit !== "string") return [resource, limit];
    throw new RuleError("limits", `${name}: ${limit}`);
  });
}

function readCgroups({ cgroup: given }: Entry, parents: readonly string[]): string[] | undefined {
  if (given === undefined) return undefined;
  const paths = [given].flat().flatMap((one) => {
    if (one.startsWith("/")) return [one];
    if (parents.length > 0) return parents.map((parent) => `${parent}/${one}`);
    throw new RuleError("cgroup", `"${one}" is beneath cgroup_parent, which is not set`);
  });
  for (const path of paths) {
    const sentence = cgroupFault(path);
    if (sentence !== undefined) throw new RuleError("cgroup", sentence);
  }
  return paths;
}

/** Why `path` cannot be a cgroup. */
export function cgroupFault(path: string): string | undefined {
  const result = checkCgroup(path);
  if (result === 0) return undefined;
  if (result === -E.ENODEV) return `${path} is in no file system of cgroups`;
  return `${path}: ${errnoText(-result)}`;
}

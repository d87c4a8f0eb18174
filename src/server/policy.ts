/**
 * How far a file may be cached: by the type of the HOST's file system it is in,
 * and by what the configuration says of that type or of a directory.
 */
import { allocate } from "../sys/memory.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../sys/stat.ts";
import type { Export } from "./exports.ts";
import { FILE_SYSTEM_TYPES, type FileSystemType, type Treatment, unknownName } from "./fstypes.ts";

/** One `[[policy]]` of the configuration. */
export type PolicyRule =
  | { readonly magic: number; readonly treatment: Treatment }
  /** An absolute path of the HOST: the directory and all below it, whatever their types. */
  | { readonly path: string; readonly treatment: Treatment };

const buffer = allocate(STATFS_STRUCT_SIZE);
const BY_MAGIC = new Map(FILE_SYSTEM_TYPES.map((type) => [type.magic, type]));

/** A type that nobody knows: asked each time, should its files be made when they are read. */
function unknown(magic: number): FileSystemType {
  return { name: unknownName(magic), magic, treatment: "live" };
}

/** Type of the file system that `fd` is in, with its built-in treatment. */
export function typeOf(fd: number): FileSystemType {
  if (fstatfs(fd, buffer.address) !== 0) return unknown(0);
  const magic = buffer.view.getUint32(STATFS.type, true);
  return BY_MAGIC.get(magic) ?? unknown(magic);
}

/** Magic number of the type called `name`, a name of the table or a number like 0xef53; or undefined. */
export function magicOf(name: string): number | undefined {
  const known = FILE_SYSTEM_TYPES.find((type) => type.name === name);
  if (known !== undefined) return known.magic;
  return /^0x[0-9a-f]{1,8}$/i.test(name) ? Number(name) : undefined;
}

/** Why files of type `magic` cannot be treated so: a clause for people, or undefined. */
export function refusal(magic: number, treatment: Treatment): string | undefined {
  const type = BY_MAGIC.get(magic);
  if (type?.treatment !== "live" || treatment === "live") return undefined;
  return `files of ${type.name} are made when they are read, they can only be live`;
}

/** The bytes of `path`, one a character, as names are in the node table. */
function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}

/** A rule as `qtfs info` shows it. */
export interface RuleFigures {
  /** A type's name, or a path. */
  of: string;
  policy: Treatment;
}

export function describeRules(rules: readonly PolicyRule[]): RuleFigures[] {
  const nameOf = (magic: number) => BY_MAGIC.get(magic)?.name ?? unknownName(magic);
  return rules.map((rule) => {
    return { of: "path" in rule ? rule.path : nameOf(rule.magic), policy: rule.treatment };
  });
}

/** Throws a sentence for a rule that says nothing: twice the same, or a path of no export. */
export function checkRules(rules: readonly PolicyRule[], exports: readonly Export[]): void {
  const names = describeRules(rules).map((rule) => rule.of);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new Error(`There are two policies for ${twice}`);
  const isBelow = (path: string, top: string) =>
    top === "/" || path === top || path.startsWith(`${top}/`);
  for (const rule of rules) {
    if (!("path" in rule)) continue;
    // Above an export it is for all of the export.
    const concerned = exports.some(
      ({ path }) => isBelow(rule.path, path) || isBelow(path, rule.path),
    );
    if (!concerned) throw new Error(`There is a policy for ${rule.path}, which is not exported`);
  }
}

/** The rules as they concern one tree, whose root is at the HOST's path `root`. */
export class Policies {
  readonly #types = new Map<number, Treatment>();
  /** By path relative to the root, "" being the root itself; a byte a character. */
  readonly #paths = new Map<string, Treatment>();

  constructor(rules: readonly PolicyRule[], root: string) {
    const top = root === "/" ? "" : latin1(root);
    // The longest path last: of those above the root it is the one that holds.
    const length = (rule: PolicyRule) => ("path" in rule ? rule.path.length : 0);
    for (const rule of [...rules].sort((a, b) => length(a) - length(b))) {
      if (!("path" in rule)) {
        this.#types.set(rule.magic, rule.treatment);
        continue;
      }
      const path = rule.path === "/" ? "" : latin1(rule.path);
      if (path === top || top.startsWith(`${path}/`)) this.#paths.set("", rule.treatment);
      else if (path.startsWith(`${top}/`)) {
        this.#paths.set(path.slice(top.length + 1), rule.treatment);
      }
    }
  }

  /** Whether any directory of the tree has a rule of its own. */
  get hasPaths(): boolean {
    return this.#paths.size > 0;
  }

  ofType(type: FileSystemType): Treatment {
    return this.#types.get(type.magic) ?? type.treatment;
  }

  /** Whether `path`, relative to the root, has a rule of its own. */
  isRuled(path: string): boolean {
    return this.#paths.has(path);
  }

  /** Treatment of `path`, relative to the root, by the nearest rule at or above it. */
  ofPath(path: string): Treatment | undefined {
    for (let at = path; ; at = at.slice(0, Math.max(at.lastIndexOf("/"), 0))) {
      const treatment = this.#paths.get(at);
      if (treatment !== undefined || at === "") return treatment;
    }
  }
}

/** The attributes in an answer, as cbor-x decoded them, by name. */
import { ATTRIBUTE_FIELDS } from "../../src/wire/constants.ts";

const NAMES = [
  ...["ino", "size", "blocks", "atime", "atimeNs", "mtime", "mtimeNs", "ctime", "ctimeNs"],
  ...["mode", "nlink", "uid", "gid", "rdev", "blksize", "policy"],
] as const;

export type NamedAttributes = Record<(typeof NAMES)[number], number>;

/** Results `[from, from + ATTRIBUTE_FIELDS)` by name. */
export function attributesOf(results: readonly unknown[], from = 0): NamedAttributes {
  if (NAMES.length !== ATTRIBUTE_FIELDS) throw new Error("the names are not those of the wire");
  const fields = NAMES.map((name, i) => [name, results[from + i]]);
  return Object.fromEntries(fields) as NamedAttributes;
}

export interface Entry extends NamedAttributes {
  node: number;
}

/** An entry: the node, then its attributes. */
export function entryOf(results: readonly unknown[], from = 0): Entry {
  return { node: results[from] as number, ...attributesOf(results, from + 1) };
}

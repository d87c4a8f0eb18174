/** All that a tree consists of, for an exact comparison of two trees. */
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { lgetxattr, llistxattr } from "../../conformance/posix/index.ts";

/** One file's properties by name; two files are the same when all of them are. */
type Properties = Record<string, string>;

const TYPES: [keyof BigIntStats & `is${string}`, string][] = [
  ["isFile", "file"],
  ["isDirectory", "directory"],
  ["isSymbolicLink", "symlink"],
  ["isFIFO", "fifo"],
  ["isSocket", "socket"],
  ["isCharacterDevice", "character device"],
  ["isBlockDevice", "block device"],
];

/** The properties of everything below `root`, by path; names that are not UTF-8 show as Latin-1. */
export function readTree(root: string): Map<string, Properties> {
  const entries = new Map<string, Properties>();
  const firstName = new Map<string, string>();
  const visit = (path: Buffer, name: string) => {
    const stat = lstatSync(path, { bigint: true });
    const inode = `${stat.dev}:${stat.ino}`;
    if (!firstName.has(inode)) firstName.set(inode, name);
    entries.set(name, { ...describe(path, stat), sameInodeAs: firstName.get(inode) ?? "" });
    if (!stat.isDirectory()) return;
    for (const child of readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare)) {
      visit(join(path, child), `${name}/${child.toString("latin1")}`);
    }
  };
  visit(Buffer.from(root), ".");
  return entries;
}

/** What differs between two trees, a line each; none when they are the same. */
export function differences(
  actual: Map<string, Properties>,
  expected: Map<string, Properties>,
): string[] {
  const lines: string[] = [];
  for (const name of new Set([...expected.keys(), ...actual.keys()])) {
    const [is, should] = [actual.get(name), expected.get(name)];
    if (!is || !should) {
      lines.push(`${name}: ${should ? "missing" : "should not be there"}`);
      continue;
    }
    for (const key of new Set([...Object.keys(should), ...Object.keys(is)])) {
      if (is[key] !== should[key]) lines.push(`${name}: ${key} ${is[key]}, not ${should[key]}`);
    }
  }
  return lines;
}

function describe(path: Buffer, stat: BigIntStats): Properties {
  const properties: Properties = {
    type: TYPES.find(([is]) => (stat[is] as () => boolean)())?.[1] ?? "unknown",
    mode: (stat.mode & 0o7777n).toString(8),
    owner: `${stat.uid}:${stat.gid}`,
    mtimeNs: `${stat.mtimeNs}`,
  };
  if (!stat.isDirectory()) properties.links = `${stat.nlink}`;
  if (stat.isCharacterDevice() || stat.isBlockDevice()) properties.rdev = `${stat.rdev}`;
  if (stat.isSymbolicLink()) {
    properties.target = readlinkSync(path, { encoding: "buffer" }).toString("latin1");
  }
  if (stat.isFile()) {
    properties.size = `${stat.size}`;
    properties.content = new Bun.SHA1().update(readFileSync(path)).digest("hex");
  }
  for (const name of llistxattr(path)) {
    properties[`xattr ${name}`] = lgetxattr(path, name).toString("hex");
  }
  return properties;
}

function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from("/"), name]);
}

/** POSIX ACLs in the binary form of their xattrs (linux/posix_acl_xattr.h, version 2). */
import type { Path } from "./arena.ts";
import { getxattr, setxattr } from "./xattr.ts";

const VERSION = 2;
const NO_ID = 0xffffffff;
const TAGS = {
  user: 0x01,
  namedUser: 0x02,
  group: 0x04,
  namedGroup: 0x08,
  mask: 0x10,
  other: 0x20,
};
export type Tag = keyof typeof TAGS;

/** One entry: permission bits as rwx, an id for a named user or group. */
export type AclEntry = [tag: Tag, permission: number, id?: number];

export const ACCESS = "system.posix_acl_access";
export const DEFAULT = "system.posix_acl_default";

export function encodeAcl(entries: readonly AclEntry[]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(VERSION, 0);
  entries.forEach(([tag, permission, id], index) => {
    const at = 4 + index * 8;
    bytes.writeUInt16LE(TAGS[tag], at);
    bytes.writeUInt16LE(permission, at + 2);
    bytes.writeUInt32LE(id ?? NO_ID, at + 4);
  });
  return bytes;
}

export function decodeAcl(bytes: Buffer): AclEntry[] {
  const entries: AclEntry[] = [];
  for (let at = 4; at < bytes.length; at += 8) {
    const value = bytes.readUInt16LE(at);
    const found = Object.entries(TAGS).find(([, number]) => number === value);
    if (found === undefined) throw new Error(`An ACL has the unknown tag ${value}`);
    const id = bytes.readUInt32LE(at + 4);
    const permission = bytes.readUInt16LE(at + 2);
    entries.push(id === NO_ID ? [found[0] as Tag, permission] : [found[0] as Tag, permission, id]);
  }
  return entries;
}

export function setAcl(path: Path, entries: readonly AclEntry[], name = ACCESS): void {
  setxattr(path, name, encodeAcl(entries));
}

export function getAcl(path: Path, name = ACCESS): AclEntry[] {
  return decodeAcl(getxattr(path, name));
}

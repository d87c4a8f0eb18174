/**
 * Describes a directory as the model does:
 *
 *   bun test/fault/workload/look.ts DIRECTORY
 *
 * prints JSON, pairs of path and properties, and the common files' contents. It is
 * a process of its own because it may have to be ended when a mount does not answer.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { describe, type Found, type Inode, type Properties } from "./model.ts";

/** What is below a directory; `files` has the contents of those in `shared/`. */
export interface View {
  paths: [string, Properties][];
  files: Record<string, string>;
}

/** Looks at all below `root`. */
export function lookAt(root: string): View {
  const found: Found[] = [];
  const files: View["files"] = {};
  const visit = (directory: string) => {
    for (const name of readdirSync(`${root}/${directory}`)) {
      const path = directory === "" ? name : `${directory}/${name}`;
      const status = lstatSync(`${root}/${path}`);
      const inode = inodeOf(`${root}/${path}`, status.mode);
      found.push({ path, inode, identity: status.ino, links: status.nlink });
      if (path.startsWith("shared/")) files[name] = inode.content.toString("latin1");
      if (status.isDirectory()) visit(path);
    }
  };
  visit("");
  return { paths: [...describe(found)], files };
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** What is at a path whose mode is `mode`. */
export function inodeOf(path: string, mode: number): Inode {
  const permissions = mode & 0o7777;
  const type = mode & S_IFMT;
  if (type === S_IFDIR) {
    return { type: "directory", mode: permissions, content: Buffer.alloc(0) };
  }
  if (type === S_IFLNK) {
    return { type: "symlink", mode: permissions, content: Buffer.from(readlinkSync(path)) };
  }
  return { type: "file", mode: permissions, content: readFileSync(path) };
}

if (import.meta.main) {
  const [root = ""] = process.argv.slice(2);
  await Bun.write(Bun.stdout, JSON.stringify(lookAt(root)));
}

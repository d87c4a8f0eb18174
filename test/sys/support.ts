/** What the tests of src/sys share: a directory of their own, and memory to call with. */
import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cstring } from "../../src/sys/cstring.ts";
import { errnoName } from "../../src/sys/errno.ts";
import { allocate, type Region } from "../../src/sys/memory.ts";
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_RDWR, openat } from "../../src/sys/open.ts";

export interface Scratch {
  readonly directory: string;
  /** The path of `name` in the directory. */
  path(name: string): string;
  /** The same as the address of a string. */
  at(name: string): number;
  /** A new or existing file, open for reading and writing. */
  file(name: string): number;
}

/** A directory that is removed when the test file has run. */
export function scratch(): Scratch {
  const directory = mkdtempSync(join(tmpdir(), "qtfs-sys-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const path = (name: string) => join(directory, name);
  const at = (name: string) => cstring(path(name));
  const file = (name: string) =>
    ok(openat(AT_FDCWD, at(name), O_RDWR | O_CREAT | O_CLOEXEC, 0o644));
  return { directory, path, at, file };
}

/** A result that must not be an error. */
export function ok(result: number): number {
  if (result < 0) throw new Error(`The call failed with ${errnoName(result)}`);
  return result;
}

/** A pair that must not be an error. */
export function okPair(result: [number, number] | number): [number, number] {
  if (typeof result === "number") throw new Error(`The call failed with ${errnoName(result)}`);
  return result;
}

/** The name of an error result, or the result itself. */
export function outcome(result: number): string | number {
  return result < 0 ? errnoName(result) : result;
}

/** Memory that holds `text`. */
export function textRegion(text: string, size = text.length): Region {
  const region = allocate(size);
  region.bytes.write(text, 0, "latin1");
  return region;
}

/**
 * Every number of src/fuse/protocol.ts against linux/fuse.h, by the C compiler.
 */
import { describe, expect, test } from "bun:test";
import * as protocol from "../../src/fuse/protocol.ts";
import { evaluate, machines } from "../sys/cprobe.ts";
import { NEWER } from "./newer.ts";

/** Constants of ours that are no number of the header. */
const OWN = new Set(["KERNEL_MINOR_VERSION", "KERNEL_MINOR_OLDEST", "OPCODE_COUNT", "PRUNE_MINOR"]);

/** Tables of constants: how an entry is called in the header. */
const TABLES: Record<string, (name: string) => string> = {
  Opcode: (name) => `FUSE_${name}`,
  Fattr: (name) => `FATTR_${name}`,
  Fopen: (name) => `FOPEN_${name}`,
  Notify: (name) => `FUSE_NOTIFY_${name}`,
};

/** Names of the header where they do not follow from ours. */
const CONSTANTS: Record<string, string> = {
  KERNEL_VERSION: "FUSE_KERNEL_VERSION",
  DIRENT_NAME_OFFSET: "FUSE_NAME_OFFSET",
};

/** Structs that are not called fuse_ and their name in lower case. */
const STRUCTS: Record<string, string> = {
  STATFS_OUT: "fuse_kstatfs",
  INVAL_INODE_OUT: "fuse_notify_inval_inode_out",
  INVAL_ENTRY_OUT: "fuse_notify_inval_entry_out",
  STORE_OUT: "fuse_notify_store_out",
  PRUNE_OUT: "fuse_notify_prune_out",
  POLL_WAKEUP_OUT: "fuse_notify_poll_wakeup_out",
};

/** Sizes of the struct that holds the one whose fields are in the table. */
const SIZES: Record<string, string> = { STATFS_OUT_SIZE: "fuse_statfs_out" };

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const struct = (name: string) => `struct ${STRUCTS[name] ?? `fuse_${name.toLowerCase()}`}`;

/** The field of LK_IN that lies in the struct fuse_file_lock within. */
function field(table: string, name: string): string {
  const ofLock = ["start", "end", "type", "pid"].includes(name) && /^LK_/.test(table);
  return ofLock ? `lk.${name}` : snake(name);
}

/** Our numbers, by the C expression each must equal. */
function declared(): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, value] of Object.entries(protocol)) {
    if (OWN.has(name)) continue;
    if (typeof value === "number") {
      const size = /^(.+)_SIZE$/.exec(name)?.[1];
      const type = SIZES[name] === undefined ? struct(size ?? "") : `struct ${SIZES[name]}`;
      found.set(
        size === undefined ? (CONSTANTS[name] ?? `FUSE_${name}`) : `sizeof(${type})`,
        value,
      );
      continue;
    }
    for (const [entry, number] of Object.entries(value as Record<string, number>)) {
      if (name === "InitBit") found.set(`__builtin_ctzll(FUSE_${entry})`, number);
      else if (name in TABLES) found.set((TABLES[name] as (n: string) => string)(entry), number);
      else found.set(`offsetof(${struct(name)}, ${field(name, entry)})`, number);
    }
  }
  return found;
}

describe.each([...machines])("headers of %s", (machine) => {
  test("opcodes, flags, offsets and sizes", () => {
    const ours = declared();
    const expressions = [...ours.keys()];
    const unit = { includes: ["linux/fuse.h"], preamble: NEWER, expressions };
    const theirs = evaluate([unit], machine)[0] ?? [];
    const expected = expressions.map((expression, i) => [expression, theirs[i]]);
    expect<unknown>(Object.fromEntries(ours)).toEqual(Object.fromEntries(expected));
  });
});

test("every export is looked at", () => {
  const numbers = Object.entries(protocol).flatMap(([name, value]) =>
    OWN.has(name) ? [] : typeof value === "number" ? [name] : Object.keys(value),
  );
  expect(
    Object.keys(protocol)
      .filter((name) => OWN.has(name))
      .sort(),
  ).toEqual([...OWN].sort());
  expect(declared().size).toBe(numbers.length);
});

test("tables by opcode have room for every opcode, versions are in order", () => {
  expect(protocol.OPCODE_COUNT).toBeGreaterThan(Math.max(...Object.values(protocol.Opcode)));
  expect(protocol.KERNEL_MINOR_VERSION).toBeGreaterThanOrEqual(protocol.KERNEL_MINOR_OLDEST);
});

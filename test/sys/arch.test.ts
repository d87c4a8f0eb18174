/** System call numbers and open flags of both machines, against the kernel's headers. */
import { describe, expect, test } from "bun:test";
import {
  ARCH,
  ARCH_OPEN_FLAGS,
  type Arch,
  type CallName,
  openFlagTables,
  SYS,
  tables,
} from "../../src/sys/arch.ts";
import { O_TMPFILE } from "../../src/sys/open.ts";
import { rawSyscall } from "../../src/sys/rawsyscall.ts";
import { evaluate, hasArm64Headers, type Unit } from "./cprobe.ts";

/** Linux 6.6 and 6.8; Debian 12's headers are 6.1. attr.test.ts and mount.test.ts call them. */
const NEWER_THAN_HEADERS: readonly CallName[] = ["fchmodat2", "listmount"];
/** From this number on every machine has the same (asm-generic/unistd.h). */
const FIRST_COMMON_NUMBER = 403;

const names = Object.keys(SYS) as CallName[];
const flagNames = Object.keys(ARCH_OPEN_FLAGS) as (keyof typeof ARCH_OPEN_FLAGS)[];

/** The table of arm64 as its own asm/unistd.h asks for it, from the generic headers. */
const GENERIC_TABLE: Unit = {
  includes: [],
  preamble: `#define __BITS_PER_LONG 64
#define __ARCH_WANT_RENAMEAT
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_TIME32_SYSCALLS
#define __ARCH_WANT_SYS_CLONE3
#include <asm-generic/unistd.h>`,
  expressions: [],
};

/** arch/arm64/include/uapi/asm/fcntl.h of the kernel, which overrides the generic flags. */
const ARM64_FLAGS: Unit = {
  includes: [],
  preamble: `#define O_DIRECTORY	 040000	/* must be a directory */
#define O_NOFOLLOW	0100000	/* don't follow links */
#define O_DIRECT	0200000	/* direct disk access hint - currently ignored */
#define O_LARGEFILE	0400000
#include <asm-generic/fcntl.h>`,
  expressions: [],
};

function callUnit(base: Unit): Unit {
  const fallbacks = names.map((n) => `#ifndef __NR_${n}\n#define __NR_${n} -1\n#endif`);
  return {
    includes: base.includes,
    preamble: [base.preamble ?? "", ...fallbacks].join("\n"),
    expressions: names.map((name) => `__NR_${name}`),
  };
}

function flagUnit(base: Unit): Unit {
  return { ...base, expressions: [...flagNames, "O_TMPFILE"] };
}

const nativeCalls: Unit = { includes: ["asm/unistd.h"], expressions: [] };
const nativeFlags: Unit = { includes: ["linux/fcntl.h"], expressions: [] };

interface Case {
  readonly title: string;
  readonly machine: Arch;
  readonly headers: Arch;
  readonly calls: Unit;
  readonly flags: Unit;
}

const cases: Case[] = [
  {
    title: `${ARCH} (running)`,
    machine: ARCH,
    headers: ARCH,
    calls: nativeCalls,
    flags: nativeFlags,
  },
  {
    title: "arm64 from the generic headers",
    machine: "arm64",
    headers: ARCH,
    calls: GENERIC_TABLE,
    flags: ARM64_FLAGS,
  },
];
if (hasArm64Headers) {
  cases.push({
    title: "arm64 from its own headers",
    machine: "arm64",
    headers: "arm64",
    calls: nativeCalls,
    flags: nativeFlags,
  });
}

for (const { title, machine, headers, calls, flags } of cases) {
  describe(title, () => {
    const [numbers = [], bits = []] = evaluate([callUnit(calls), flagUnit(flags)], headers);

    test("system call numbers", () => {
      const known = names.filter((_, i) => numbers[i] !== -1);
      const unknown = names.filter((_, i) => numbers[i] === -1);
      expect(NEWER_THAN_HEADERS).toEqual(expect.arrayContaining(unknown));
      const theirs = Object.fromEntries(names.map((name, i) => [name, numbers[i] ?? -1]));
      for (const name of known) {
        expect(`${name} ${tables[machine][name]}`).toBe(`${name} ${theirs[name]}`);
      }
    });

    test("open flags", () => {
      const theirs = Object.fromEntries(flagNames.map((name, i) => [name, bits[i]]));
      expect<unknown>(openFlagTables[machine]).toEqual(theirs);
      const tmpfile = bits[flagNames.length] ?? 0;
      expect(tmpfile).toBe(0o20000000 | openFlagTables[machine].O_DIRECTORY);
    });
  });
}

test("numbers that the headers do not know yet are those of all machines", () => {
  for (const name of NEWER_THAN_HEADERS) {
    expect(tables.x64[name]).toBe(tables.arm64[name]);
    expect(tables.x64[name]).toBeGreaterThan(FIRST_COMMON_NUMBER);
  }
});

test("the running machine's tables are in use", () => {
  expect(SYS).toBe(tables[ARCH]);
  expect(O_TMPFILE & ~ARCH_OPEN_FLAGS.O_DIRECTORY).toBe(0o20000000);
  expect(rawSyscall(SYS.gettid)).toBe(process.pid);
});

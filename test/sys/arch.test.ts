/** What differs between the machines, against the kernel's headers of both. */
import { describe, expect, test } from "bun:test";
import {
  ARCH,
  ARCH_OPEN_FLAGS,
  type CallName,
  epollEventTables,
  openFlagTables,
  SYS,
  tables,
} from "../../src/sys/arch.ts";
import { O_TMPFILE } from "../../src/sys/open.ts";
import { rawSyscall } from "../../src/sys/rawsyscall.ts";
import { evaluate, machines, type Unit } from "./cprobe.ts";

/** Linux 6.6 and 6.8; Debian 12's headers are 6.1. attr.test.ts and mount.test.ts call them. */
const NEWER_THAN_HEADERS: readonly CallName[] = ["fchmodat2", "listmount"];
/** From this number on every machine has the same (asm-generic/unistd.h). */
const FIRST_COMMON_NUMBER = 403;

const names = Object.keys(SYS) as CallName[];
const flagNames = Object.keys(ARCH_OPEN_FLAGS) as (keyof typeof ARCH_OPEN_FLAGS)[];

/** Of the calls that the headers do not know, -1. */
const fallbacks = names.map((n) => `#ifndef __NR_${n}\n#define __NR_${n} -1\n#endif`);
const calls: Unit = {
  includes: ["asm/unistd.h"],
  preamble: fallbacks.join("\n"),
  expressions: names.map((name) => `__NR_${name}`),
};
const flags: Unit = { includes: ["linux/fcntl.h"], expressions: [...flagNames, "O_TMPFILE"] };
/** Packed on x86-64 alone. */
const epollEvent: Unit = {
  includes: ["sys/epoll.h"],
  expressions: [
    "offsetof(struct epoll_event, events)",
    "offsetof(struct epoll_event, data)",
    "sizeof(struct epoll_event)",
  ],
};

for (const machine of machines) {
  describe(`headers of ${machine}`, () => {
    const [numbers = [], bits = [], event = []] = evaluate([calls, flags, epollEvent], machine);

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

    test("struct epoll_event", () => {
      const { events, data, size } = epollEventTables[machine];
      expect<number[]>([events, data, size]).toEqual(event);
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

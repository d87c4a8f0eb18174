/** The filter of a supervisor, as the kernel would run it. */
import { describe, expect, test } from "bun:test";
import { tables } from "../../src/sys/arch.ts";
import {
  AUDIT_ARCH_AARCH64,
  AUDIT_ARCH_X86_64,
  BPF_JMP_JEQ_K,
  BPF_LD_W_ABS,
  notifyingProgram,
  SECCOMP_DATA,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_USER_NOTIF,
} from "../../src/sys/seccomp.ts";

const SIGURG = 23;

describe.each([
  ["x64", AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64],
  ["arm64", AUDIT_ARCH_AARCH64, AUDIT_ARCH_X86_64],
] as const)("%s", (arch, own, other) => {
  const { mount, umount2, tgkill, read } = tables[arch];
  const exception = { nr: tgkill, argument: 2, value: SIGURG };
  const program = notifyingProgram([mount, tgkill, umount2], exception, arch);

  /** What the filter says of a call; linux/bpf_common.h. */
  function verdict(machine: number, nr: number, args: readonly number[] = []): number {
    const words = new Map<number, number>([
      [SECCOMP_DATA.nr, nr],
      [SECCOMP_DATA.arch, machine],
      ...args.map((value, i): [number, number] => [SECCOMP_DATA.args + 8 * i, value]),
    ]);
    let accumulator = 0;
    for (let at = 0; at < program.length; at++) {
      const [code, jt, jf, k] = program[at] as (typeof program)[number];
      if (code === BPF_LD_W_ABS) accumulator = words.get(k) ?? 0;
      else if (code === BPF_JMP_JEQ_K) at += accumulator === k ? jt : jf;
      else return k;
    }
    throw new Error("The filter has no end");
  }

  test("calls that are named are notified, others are not", () => {
    for (const nr of [mount, umount2]) expect(verdict(own, nr)).toBe(SECCOMP_RET_USER_NOTIF);
    // The exception's value is that of its call alone.
    expect(verdict(own, mount, [0, 0, SIGURG])).toBe(SECCOMP_RET_USER_NOTIF);
    expect(verdict(own, read)).toBe(SECCOMP_RET_ALLOW);
  });

  test("the exception is not", () => {
    expect(verdict(own, tgkill, [1, 1, SIGURG])).toBe(SECCOMP_RET_ALLOW);
    expect(verdict(own, tgkill, [1, 1, 9])).toBe(SECCOMP_RET_USER_NOTIF);
    expect(verdict(own, tgkill, [SIGURG, SIGURG, 9])).toBe(SECCOMP_RET_USER_NOTIF);
  });

  test("another machine's interface is left alone", () => {
    expect(verdict(other, mount)).toBe(SECCOMP_RET_ALLOW);
  });
});

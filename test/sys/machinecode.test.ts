/** The machine code of src/sys is what an assembler makes of the words beside it. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import type { Arch } from "../../src/sys/arch.ts";
import { CHILD_CODE } from "../../src/sys/childcalls.ts";
import { handlerCode } from "../../src/sys/signalpipe.ts";
import { machines, toolOf } from "./cprobe.ts";
import { scratch } from "./support.ts";

const place = scratch();

const CHILD: Record<Arch, string> = {
  x64: `.intel_syntax noprefix
push rbx; mov rbx, rsi; mov r10, rdx; xor esi, esi; xor edx, edx; xor r8d, r8d
mov eax, 56; syscall; test eax, eax; jz child; pop rbx; ret
child: mov rax, [rbx]; mov rdi, [rbx+8]; mov rsi, [rbx+16]; mov rdx, [rbx+24]
mov r10, [rbx+32]; mov r8, [rbx+40]; mov r9, [rbx+48]; mov r12, [rbx+56]; syscall
mov [rbx+56], rax; add rbx, 64; test rax, r12; jns child
mov edi, 127; mov eax, 231; syscall
`,
  arm64: `stp x19, x20, [sp, #-16]!; mov x19, x1; mov x4, x2; mov x1, #0; mov x2, #0; mov x3, #0
mov x8, #220; svc #0; cbz x0, child; ldp x19, x20, [sp], #16; ret
child: ldr x8, [x19]; ldp x0, x1, [x19, #8]; ldp x2, x3, [x19, #24]; ldp x4, x5, [x19, #40]
ldr x20, [x19, #56]; svc #0; str x0, [x19, #56]; add x19, x19, #64; tst x0, x20; b.pl child
mov x0, #127; mov x8, #94; svc #0
`,
};

/** A descriptor whose number fills both halves of a word. */
const FD = 0x1234_5678;
const HANDLER: Record<Arch, string> = {
  x64: `.intel_syntax noprefix
push rdi; mov edi, ${FD}; mov rsi, rsp; mov edx, 1; mov eax, 1; syscall; pop rdi; ret
`,
  arm64: `sub sp, sp, #16; str x0, [sp]; mov w0, #${FD & 0xffff}; movk w0, #${FD >>> 16}, lsl #16
mov x1, sp; mov x2, #1; mov x8, #64; svc #0; add sp, sp, #16; ret
`,
};

function assembled(machine: Arch, text: string): Buffer {
  const [source, object] = [`${place.directory}/${machine}.s`, `${place.directory}/${machine}.o`];
  writeFileSync(source, text);
  const made = Bun.spawnSync([toolOf(machine, "as"), "-o", object, source]);
  expect(made.stderr.toString()).toBe("");
  return readFileSync(object);
}

test.each(machines)("a child's of %s", (machine) => {
  expect(assembled(machine, CHILD[machine]).includes(CHILD_CODE[machine])).toBe(true);
});

test.each(machines)("a signal handler's of %s", (machine) => {
  const code = handlerCode(FD, machine);
  expect(assembled(machine, HANDLER[machine]).includes(code)).toBe(true);
});

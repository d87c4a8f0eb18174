/**
 * Stops one thread of another process and no other, for as long as this one
 * lives: `bun freeze.ts TID`. Prints `frozen` when it stands still (ptrace(2)).
 */
import { readFileSync } from "node:fs";
import { SYS } from "../../../src/sys/arch.ts";
import { rawSyscall } from "../../../src/sys/rawsyscall.ts";

const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
/** __WALL of linux/wait.h: for threads, too. */
const WALL = 0x4000_0000;

const tid = Number(process.argv[2]);
const seized = rawSyscall(SYS.ptrace, PTRACE_SEIZE, tid);
if (seized !== 0) throw new Error(`Cannot trace thread ${tid}: errno ${-seized}`);
rawSyscall(SYS.ptrace, PTRACE_INTERRUPT, tid);
while (!/\) t /.test(readFileSync(`/proc/${tid}/stat`, "latin1"))) await Bun.sleep(1);
console.log("frozen");
// A thread that has a tracer is gone only when that has heard of it.
while (rawSyscall(SYS.wait4, tid, 0, WALL) >= 0);

/** What the kernel says of this process's threads: /proc/self/task/TID (proc(5)). */
import { readFileSync } from "node:fs";
import { SYS } from "../sys/arch.ts";

/** USER_HZ: the unit of times in /proc is the same on every Linux there is. */
const MS_PER_TICK = 10;
/** Lines of a kernel stack that are kept. */
const STACK_LINES = 12;
/** Fields of stat after the name, which may hold spaces. */
const STAT = { state: 0, utime: 11, stime: 12 } as const;

const STATES: Readonly<Record<string, string>> = {
  R: "running",
  S: "sleeping",
  D: "in uninterruptible sleep",
  T: "stopped",
  t: "stopped by a tracer",
  Z: "dead",
};

export interface ThreadState {
  /** Letter of proc(5). */
  state: string;
  /** Time on a processor so far. */
  cpuMs: number;
  /** Function of the kernel that it waits in; "" for none. */
  wchan: string;
  /** Number and name of its system call, `running`, or "" where nobody may know. */
  syscall: string;
  /** Functions of the kernel, innermost first; none where nobody may know. */
  stack: string[];
}

function read(tid: number, file: string): string {
  try {
    return readFileSync(`/proc/self/task/${tid}/${file}`, "latin1").trim();
  } catch {
    // Not every kernel has, or shows, all of them.
    return "";
  }
}

/** State letter and processor time of a thread; undefined when there is none. */
export function briefState(tid: number): Pick<ThreadState, "state" | "cpuMs"> | undefined {
  const stat = read(tid, "stat");
  if (stat === "") return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[STAT.utime]) + Number(fields[STAT.stime]);
  return { state: fields[STAT.state] ?? "?", cpuMs: ticks * MS_PER_TICK };
}

/** All there is to know of a thread; undefined when there is none. */
export function threadState(tid: number): ThreadState | undefined {
  const brief = briefState(tid);
  if (brief === undefined) return undefined;
  const wchan = read(tid, "wchan");
  const stack = read(tid, "stack").split("\n").slice(0, STACK_LINES);
  return {
    ...brief,
    wchan: wchan === "0" ? "" : wchan,
    syscall: syscallOf(read(tid, "syscall")),
    // `[<0>] do_poll.constprop.0+0x1a7/0x3c0`
    stack: stack
      .map((line) => line.replace(/^\[<\w+>\] /, "").replace(/\+.*$/, ""))
      .filter(Boolean),
  };
}

/** The line of `syscall`: `running`, or a number (-1: none) and addresses that are nobody's business. */
function syscallOf(line: string): string {
  const [first = ""] = line.split(" ");
  if (first === "" || first === "running") return first;
  if (first === "-1") return "none";
  return callName(Number(first));
}

/** A system call's number with its name, if this program makes it. */
export function callName(nr: number): string {
  const name = Object.entries(SYS).find(([, number]) => number === nr)?.[0];
  return name === undefined ? `${nr}` : `${nr} (${name})`;
}

/** State letters in words. */
export function stateName(letter: string): string {
  return STATES[letter] === undefined ? letter : `${letter} (${STATES[letter]})`;
}

/** A thread's state in a line, for a log. */
export function describeState(thread: ThreadState): string {
  const { state, wchan, syscall, stack } = thread;
  return [
    `state ${stateName(state)}`,
    ...(wchan === "" ? [] : [`waits in ${wchan}`]),
    ...(syscall === "" ? [] : [`system call ${syscall}`]),
    ...(stack.length === 0 ? [] : [`kernel stack ${stack.join(" < ")}`]),
  ].join(", ");
}

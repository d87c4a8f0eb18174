/** The processes of this machine, as an offload looks for its own. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { close } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { pidfdOpen } from "../sys/process.ts";

/** What is read from /proc; undefined where the process has ended meanwhile. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const linkOf = (pid: number | "self", name: string) =>
  attempt(() => readlinkSync(`/proc/${pid}/${name}`));

/** The words of a process; none of a kernel's thread or one that has ended. */
export function wordsOf(pid: number): string[] {
  const text = attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "";
  return text === "" ? [] : text.replace(/\0$/, "").split("\0");
}

/** All processes that this one sees. */
export function processes(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Whether a process is in this one's PID namespace, with `root` as its root directory. */
function livesIn(pid: number, root: string): boolean {
  return linkOf(pid, "ns/pid") === linkOf("self", "ns/pid") && linkOf(pid, "root") === root;
}

/** A process with exactly these words and this root directory: the oldest. */
export function findProcess(words: readonly string[], root: string): number | undefined {
  const wanted = words.join("\0");
  return processes().find((pid) => wordsOf(pid).join("\0") === wanted && livesIn(pid, root));
}

/** Sends `signal` and waits for the process's end, `boundMs` at most: whether it has ended. */
export function endProcess(pid: number, signal: NodeJS.Signals, boundMs: number): boolean {
  const pidfd = pidfdOpen(pid);
  if (pidfd < 0) return true;
  const polls = new PollSet(1);
  try {
    attempt(() => process.kill(pid, signal));
    polls.clear();
    polls.add(pidfd, POLLIN);
    const endMs = performance.now() + boundMs;
    for (let leftMs = boundMs; leftMs > 0; leftMs = endMs - performance.now()) {
      if (polls.wait(Math.ceil(leftMs)) > 0) return true;
    }
    return false;
  } finally {
    close(pidfd);
  }
}

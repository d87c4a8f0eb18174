/** Processes that do nothing, for loads that look at processes. */
import { readdirSync, readFileSync } from "node:fs";

const SLEEPERS = 500;
/** What tells them from other processes: the time that they sleep. */
const SECONDS = "86399";

/** Pids of all of them. */
export function sleepers(): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1") === `sleep\0${SECONDS}\0`;
    } catch {
      // It has just ended.
      return false;
    }
  });
}

let parent: Bun.Subprocess | undefined;

/** Starts them, once; they end with this process. */
export async function ensureProcesses(): Promise<void> {
  if (parent !== undefined) return;
  const loop = `i=0; while [ $i -lt ${SLEEPERS} ]; do sleep ${SECONDS} & i=$((i + 1)); done; read -r end`;
  // Its standard input ends with us: it then kills its process group, which is its own.
  const script = `${loop}; kill -9 0`;
  parent = Bun.spawn(["setsid", "sh", "-c", script], { stdin: "pipe", stdout: "ignore" });
  parent.unref();
  while (sleepers().length < SLEEPERS) await Bun.sleep(20);
}

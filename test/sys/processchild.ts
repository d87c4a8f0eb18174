/** What process.test.ts runs in a process of its own: `report`, `parent-of-sleeper`, `sleeper`. */
import { readFileSync } from "node:fs";
import { errnoName } from "../../src/sys/errno.ts";
import {
  getpid,
  raiseNoFileLimit,
  setDeathSignal,
  setProcessName,
  setsid,
} from "../../src/sys/process.ts";

function report(): void {
  const limit = raiseNoFileLimit();
  setProcessName("qtfs-fifteen-bytes-and-more");
  const session = setsid();
  const limits = readFileSync("/proc/self/limits", "latin1");
  const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
  const answer = {
    limit,
    soft: Number(soft),
    hard: Number(hard),
    name: readFileSync("/proc/thread-self/comm", "latin1").trim(),
    pid: getpid(),
    session,
    sessionAgain: errnoName(setsid()),
  };
  console.log(JSON.stringify(answer));
}

/** Starts a sleeper that dies with this process, prints its pid once it is prepared, and ends. */
async function parentOfSleeper(): Promise<void> {
  const command = [process.execPath, import.meta.path, "sleeper"];
  const sleeper = Bun.spawn(command, { stdin: "ignore", stdout: "pipe" });
  for await (const _ of sleeper.stdout) {
    console.log(sleeper.pid);
    process.exit(0);
  }
}

async function sleeper(): Promise<void> {
  const SIGKILL = 9;
  console.log(setDeathSignal(SIGKILL));
  await Bun.sleep(60_000);
}

const [, , what] = process.argv;
if (what === "report") report();
else if (what === "parent-of-sleeper") await parentOfSleeper();
else if (what === "sleeper") await sleeper();
else throw new Error(`Unknown part: ${what}`);

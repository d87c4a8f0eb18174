/** The process that becomes the next daemon when its own has died, and only then. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { until } from "../support/server.ts";

/** What the next daemon does: tells what it was given, whole and at once. */
const SUCCESSOR = `{ cat <&4; cat <&5; echo "$0 $1"; ls /proc/self/fd | tr '\\n' ' '; echo; echo $$;
  } >"$1.new"; mv "$1.new" "$1"`;

let directory: string;
let child: Bun.Subprocess<"pipe", "pipe", "inherit">;
let said: string;
let keeper: number;

beforeEach(async () => {
  directory = mkdtempSync(`${tmpdir()}/qtfs-keeper-`);
  said = "";
  const [fuse, record] = [`${directory}/fuse`, `${directory}/record`];
  writeFileSync(fuse, "of /dev/fuse\n");
  writeFileSync(record, "of the record\n");
  const program = new URL("./keeperchild.ts", import.meta.url).pathname;
  const command = ["/bin/sh", "-c", SUCCESSOR, "a b", `${directory}/out put`];
  child = Bun.spawn([process.execPath, program, fuse, record, ...command], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  listen(child.stdout);
  await until(() => said.includes("\n"), "the daemon has a keeper");
  keeper = Number.parseInt(said, 10);
});

afterEach(async () => {
  child.kill("SIGKILL");
  await child.exited;
  await until(() => isGone(keeper), "the keeper has ended");
  rmSync(directory, { recursive: true });
});

async function listen(stdout: ReadableStream<Uint8Array>): Promise<void> {
  for await (const chunk of stdout) said += Buffer.from(chunk).toString();
}

/** Whether a process is gone, or a zombie whose parent has yet to be told. */
function isGone(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return true;
  return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
}

const output = () => readFileSync(`${directory}/out put`, "utf8");
const succeeded = () => existsSync(`${directory}/out put`);

test("it waits under a name of its own, in a session of its own, with nothing else open", async () => {
  // Its process is there before it is the shell (vfork(2)).
  const words = () => readFileSync(`/proc/${keeper}/cmdline`, "latin1");
  await until(() => words().startsWith("qtfs-keeper/sh\0"), "it has its name");
  const stat = readFileSync(`/proc/${keeper}/stat`, "latin1").replace(/.*\) /, "").split(" ");
  expect(Number(stat[3])).toBe(keeper);
  const descriptors = readdirSync(`/proc/${keeper}/fd`)
    .map(Number)
    .filter((fd) => fd < 10);
  expect(descriptors.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(succeeded()).toBe(false);
});

describe("when the daemon", () => {
  test("is killed, it becomes the command, with its descriptors and words", async () => {
    child.kill("SIGKILL");
    await until(succeeded, "the command runs");
    // 3 is what ls opens to list, 6 holds the keeper of what it has become.
    expect(output().split("\n")).toEqual([
      "of /dev/fuse",
      "of the record",
      `a b ${directory}/out put`,
      "0 1 2 3 4 5 6 7 ",
      `${keeper}`,
      "",
    ]);
  });

  test("dismisses it, it ends and nothing comes of it", async () => {
    child.stdin.write("end\n");
    child.stdin.flush();
    await until(() => isGone(keeper), "the keeper has ended");
    await until(() => said.includes("dismissed"), "the daemon goes on");
    child.kill("SIGKILL");
    await child.exited;
    expect(said).not.toContain("gone");
    expect(succeeded()).toBe(false);
  });
});

test("that it was killed is told once, and it can be dismissed nevertheless", async () => {
  process.kill(keeper, "SIGKILL");
  await until(() => said.includes("gone"), "the daemon is told");
  child.stdin.write("end\n");
  child.stdin.flush();
  await until(() => said.includes("dismissed"), "the daemon goes on");
  expect(said.match(/gone/g)).toHaveLength(1);
  expect(succeeded()).toBe(false);
});

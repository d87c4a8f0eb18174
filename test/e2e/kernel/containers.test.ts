/**
 * runc's and containerd's own code for cgroups, and moby's for mountinfo (Debian's
 * packages; containers/main.go runs them), see through the mount what they see on the HOST.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { run, sh } from "../support/run.ts";
import { type KernelHost, startKernelHost } from "./host.ts";

const MINUTES = 60_000;

let host: KernelHost;
let program = "";

beforeAll(async () => {
  host = await startKernelHost();
  program = `${host.scratch}/containers`;
  // The packages are sources in the old layout, which needs no module and no network.
  const env = {
    GO111MODULE: "off",
    GOPATH: "/usr/share/gocode",
    GOFLAGS: "",
    CGO_ENABLED: "0",
    GOCACHE: `${host.scratch}/go-cache`,
  };
  await sh(`cd ${import.meta.dir}/containers && go build -o ${program} .`, {
    env,
    timeoutMs: 5 * MINUTES,
  });
}, 6 * MINUTES);
afterAll(() => host?.close());

/** The lines of a run below `root`, with the process it is about as PID. */
async function lines(root: string, pid: number): Promise<string[]> {
  const { code, stdout, stderr } = await run([program, root, `qtfs-go-${process.pid}`, `${pid}`]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trim().replaceAll(root, "ROOT").split("\n");
}

test("they do and see the same", async () => {
  const sleeper = Bun.spawn(["sleep", "1000"]);
  const here = await lines(host.tree, sleeper.pid);
  const there = await lines(host.mountpoint, sleeper.pid);
  sleeper.kill();
  // statfs(2) tells FUSE's magic number, until a supervisor answers it.
  const refused = "runc without a supervisor:";
  expect(here.filter((line) => line.startsWith(refused))).toEqual([]);
  expect(there.filter((line) => line.startsWith(refused))).toEqual([
    `${refused} open ROOT/cgroup2/cgroup.procs: not a cgroup file`,
  ]);
  expect(there.filter((line) => !line.startsWith(refused))).toEqual(here);
  console.log(here.filter((line) => !line.startsWith("moby mount:")).join("\n"));
  expect(there).toContain("runc 2 destroy while it is used: errno 16");
  expect(there).toContain("runc 2 frozen: FROZEN");
  expect(there).toContain("containerd 2 events: populated 1, frozen 1");
  expect(there.filter((line) => line.startsWith("moby mount:")).length).toBeGreaterThan(1);
});

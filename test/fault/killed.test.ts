/** kill -9 of everything: clean errors, no process that cannot be ended, and a mount that can be made again. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { buildCaller, Caller, eventually, stateOf, stop } from "../e2e/mounts/caller.ts";
import { mountsAt } from "../e2e/mounts/world.ts";
import { run, sh } from "../e2e/support/run.ts";
import { withStage } from "./scenarios/with-stage.ts";
import type { Stage } from "./stage.ts";

const ANSWER_MS = 15_000;
/** EIO, what the kernel answers for calls under way (ECONNABORTED), and for later ones (ENOTCONN). */
const ERRNOS = [5, 103, 107];
const CALLS = ["stat", "open", "read", "write", "mkdir", "readdir", "fsync", "rename", "setlk"];

const WAYS: [string, (stage: Stage) => Promise<void>][] = [
  [
    "server, mount and keeper",
    async (stage) => {
      await stage.killServer();
      await killMount(stage);
    },
  ],
  ["mount and keeper", async (stage) => killMount(stage)],
];

async function killMount(stage: Stage): Promise<void> {
  const { daemons, keepers } = stage.mountPids();
  expect([daemons.length, keepers.length]).toEqual([1, 1]);
  // The one would replace the other, and the other start one anew.
  const isStopped = () => daemons.every((pid) => stateOf(pid) === "T");
  for (const pid of daemons) process.kill(pid, "SIGSTOP");
  await eventually(isStopped, "the mount's process is stopped", ANSWER_MS);
  for (const pid of [...keepers, ...daemons]) process.kill(pid, "SIGKILL");
}

test.each(WAYS)(
  "kill -9 of %s",
  async (_, kill) => {
    await withStage({ kind: "unix", options: ["cache=never"] }, async (stage, directory) => {
      const program = await buildCaller(directory);
      writeFileSync(`${stage.tree}/file`, Buffer.alloc(1 << 20, "data"));
      const pathFor = (name: string) => {
        if (name === "readdir") return stage.mountpoint;
        return `${stage.mountpoint}/${name === "mkdir" ? "absent" : "file"}`;
      };
      const prepare = (name: string) => new Caller(program, name, pathFor(name)).ready();
      const callers = await Promise.all(CALLS.map(prepare));
      await stop(stage.serverPid);
      for (const caller of callers) await caller.block();
      await kill(stage);
      for (const caller of callers) {
        expect(ERRNOS).toContain(await caller.errno(ANSWER_MS));
        void caller.end();
      }
      const left = () => callers.filter(({ gone }) => !gone);
      await eventually(() => left().length === 0, "no caller is left", ANSWER_MS).catch(() => {});
      expect(left().map(({ operation, pid }) => [operation, stateOf(pid)])).toEqual([]);
      const { code } = await run(["umount", stage.mountpoint], { timeoutMs: ANSWER_MS });
      expect([code, mountsAt(stage.mountpoint)]).toEqual([0, []]);
      await stage.restartServer(0);
      await stage.mount();
      await sh("echo some >a; mv a b; cat b; ls -l; rm b; sync -f file", { cwd: stage.mountpoint });
    });
  },
  90_000,
);

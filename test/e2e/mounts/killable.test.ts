/**
 * A server that does not answer must not make processes unkillable: whatever
 * they wait for, a deadly signal ends them at once, and when the server goes on,
 * so does the mount. Signals that a process handles change nothing.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { buildCaller, eventually } from "./caller.ts";
import { Stage } from "./stage.ts";

/** How long a process may take to be gone after a deadly signal, and a call once it can go on. */
const GONE_MS = 5000;
const ANSWER_MS = 15_000;

const share = await mountTree({ options: ["hard"] });
const stage = new Stage(share, await buildCaller(share.bare));
afterAll(() => stage.close());

/** Calls that wait for the server while it is stopped. */
const OPERATIONS = [
  ...["stat", "open", "read", "write", "mkdir", "readdir", "fsync", "close"],
  ...["fault", "rename", "setlk", "flock"],
];

describe.each(["SIGKILL", "SIGTERM"] as const)(
  "%s ends, while the server is stopped,",
  (signal) => {
    test.each(OPERATIONS)("%s", async (operation) => {
      const caller = await stage.prepared(operation);
      await stage.whileStopped(async () => {
        await caller.block();
        caller.kill(signal);
        await eventually(() => caller.gone, `${operation} is gone`, GONE_MS);
      });
      await stage.works();
    });

    test("all of them at once, several writers among them", async () => {
      const names = [...OPERATIONS, ...new Array<string>(20).fill("write"), "open", "open"];
      const callers = await Promise.all(names.map((name) => stage.prepared(name)));
      await stage.whileStopped(async () => {
        await Promise.all(callers.map((caller) => caller.block()));
        for (const caller of callers) caller.kill(signal);
        for (const caller of callers) {
          await eventually(() => caller.gone, `${caller.operation} is gone`, GONE_MS);
        }
      });
      await stage.works();
    });

    test("a wait for a lock, which is not taken afterwards", async () => {
      for (const [holds, waits] of [
        ["setlk", "setlkw"],
        ["flock", "flock"],
      ] as const) {
        const { file } = stage.fresh();
        const holder = await stage.caller(holds, file);
        holder.go();
        expect(await holder.errno(ANSWER_MS)).toBe(0);
        const waiter = await stage.caller(waits, file);
        await waiter.block();
        await stage.whileStopped(async () => {
          waiter.kill(signal);
          await eventually(() => waiter.gone, `${waits} is gone`, GONE_MS);
        });
        holder.letGo();
        const next = await stage.caller(waits, file);
        next.go();
        expect(await next.errno(ANSWER_MS)).toBe(0);
      }
    });
  },
);

test("processes exit with files open and locks held, and their locks end", async () => {
  const { file } = stage.fresh();
  const caller = await stage.caller("exit", file);
  const others = await Promise.all(["exit", "exit"].map((name) => stage.prepared(name)));
  await stage.whileStopped(async () => {
    for (const one of [caller, ...others]) one.go();
    for (const one of [caller, ...others]) {
      await eventually(() => one.gone, "the exiting process is gone", GONE_MS);
    }
  });
  for (const name of ["setlkw", "flock"]) {
    const next = await stage.caller(name, file);
    next.go();
    expect(await next.errno(ANSWER_MS)).toBe(0);
  }
});

test.each(["stat", "read", "write", "mkdir", "rename", "fsync"])(
  "a signal with a handler does not fail %s",
  async (operation) => {
    const place = stage.fresh();
    const path = stage.pathFor(operation, place);
    const caller = await stage.caller(operation, path);
    await stage.whileStopped(async () => {
      await caller.block();
      for (let i = 0; i < 3; i++) {
        caller.kill("SIGALRM");
        await Bun.sleep(150);
      }
      expect(caller.finished).toBe(false);
    });
    expect(await caller.errno(ANSWER_MS)).toBe(0);
    if (operation === "rename") expect(existsSync(`${stage.hostPath(path)}.renamed`)).toBe(true);
  },
);

test("a signal with a handler ends a wait for a lock with EINTR", async () => {
  const EINTR = 4;
  const { file } = stage.fresh();
  const holder = await stage.caller("setlk", file);
  holder.go();
  expect(await holder.errno(ANSWER_MS)).toBe(0);
  const waiter = await stage.caller("setlkw", file);
  await waiter.block();
  waiter.kill("SIGALRM");
  expect(await waiter.errno(ANSWER_MS)).toBe(EINTR);
});

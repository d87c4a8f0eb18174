/** A server that says nothing: calls fail within the mount's bound, or wait where it has none. */
import { afterAll, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { buildCaller, eventually, isGone } from "./caller.ts";
import { Stage } from "./stage.ts";

const EIO = 5;
/** The bound of the mount, and how long after it a call must have failed. */
const TIMEOUT_S = 2;
const FAILED_MS = TIMEOUT_S * 1000 + 8000;
const ANSWER_MS = 15_000;
/** Calls, made by LOOPS processes: more than the session has slots. */
const MANY = 600;
const LOOPS = 20;
const MANY_MS = 60_000;

const bounded = await mountTree({ options: [`timeout=${TIMEOUT_S}`] });
const program = await buildCaller(bounded.bare);
const stage = new Stage(bounded, program);
const hard = new Stage(await mountTree({ options: ["hard"] }), program);
afterAll(async () => {
  await hard.close();
  await stage.close();
});

test("calls fail with EIO, and work again when the server does", async () => {
  const names = ["stat", "open", "read", "write", "mkdir", "readdir", "fsync", "rename", "setlk"];
  const callers = await Promise.all(names.map((name) => stage.prepared(name)));
  const later = await Promise.all(names.map((name) => stage.prepared(name)));
  await stage.whileStopped(async () => {
    await Promise.all(callers.map((caller) => caller.block()));
    for (const caller of callers) expect(await caller.errno(FAILED_MS)).toBe(EIO);
    for (const caller of later) caller.go();
    for (const caller of later) expect(await caller.errno(FAILED_MS)).toBe(EIO);
  });
  await stage.works();
});

test("more large writes than the connection holds fail too, and what comes after them", async () => {
  const writers = await Promise.all(Array.from({ length: 24 }, () => stage.prepared("write")));
  const after = await Promise.all(["stat", "write", "mkdir"].map((name) => stage.prepared(name)));
  await stage.whileStopped(async () => {
    for (const caller of writers) caller.go();
    for (const caller of writers) expect(await caller.errno(FAILED_MS)).toBe(EIO);
    for (const caller of after) caller.go();
    for (const caller of after) expect(await caller.errno(FAILED_MS)).toBe(EIO);
  });
  await stage.works();
});

test("more calls than the session has slots fail", async () => {
  const { directory } = stage.fresh();
  const script = `for i in $(seq ${MANY / LOOPS}); do [ -e ${directory}/$BASHPID.$i ]; done`;
  await stage.whileStopped(async () => {
    const children = Array.from({ length: LOOPS }, () => Bun.spawn(["bash", "-c", script]));
    const running = () => children.filter(({ pid }) => !isGone(pid)).length;
    try {
      await eventually(() => running() === 0, "all calls have failed", MANY_MS);
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
  });
  await stage.works();
});

test("a hard mount waits, and goes on where it was", async () => {
  const names = ["stat", "open", "read", "write", "mkdir", "fsync"];
  const callers = await Promise.all(names.map((name) => hard.prepared(name)));
  await hard.whileStopped(async () => {
    await Promise.all(callers.map((caller) => caller.block()));
    await Bun.sleep(TIMEOUT_S * 1000 + 1000);
    expect(callers.filter((caller) => caller.finished)).toEqual([]);
  });
  for (const caller of callers) expect(await caller.errno(ANSWER_MS)).toBe(0);
  await hard.works();
});

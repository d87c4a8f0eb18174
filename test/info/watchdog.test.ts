/** The watchdog, with a clock of its own and threads that are what the test says. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { At, Heartbeat } from "../../src/info/heartbeat.ts";
import { briefState, type ThreadState, threadState } from "../../src/info/threads.ts";
import { LOOK_MS, type Stuck, Watchdog } from "../../src/info/watchdog.ts";
import { gettid } from "../../src/sys/process.ts";

const STUCK_MS = 5_000;
const AGAIN_MS = 60_000;
const LOOKUP = At.OPERATION + 2;

let nowMs: number;
let thread: ThreadState | undefined;
let told: Stuck[];
let heartbeat: Heartbeat;
let watchdog: Watchdog;

beforeEach(() => {
  nowMs = 1_000;
  thread = { state: "R", cpuMs: 0, wchan: "", syscall: "running", stack: [] };
  told = [];
  heartbeat = new Heartbeat();
  heartbeat.belongsTo(7);
  watchdog = new Watchdog({
    stuckMs: STUCK_MS,
    now: () => nowMs,
    brief: () => thread,
    full: () => thread,
    stuck: (stuck) => told.push(stuck),
  });
  watchdog.add("reactor", heartbeat, (operation) => `at operation ${operation}`);
});

afterEach(() => watchdog.stop());

/** Lets time go by with a look each second; `each` is what the thread does in between. */
function pass(ms: number, each: () => void = () => {}): void {
  for (const endMs = nowMs + ms; nowMs < endMs; ) {
    nowMs += LOOK_MS;
    each();
    watchdog.look();
  }
}

describe("is not stuck: a thread", () => {
  test("that has not begun", () => {
    pass(10 * STUCK_MS);
    expect(told).toEqual([]);
  });

  test("that sleeps", () => {
    heartbeat.beat(At.ASLEEP);
    pass(10 * STUCK_MS);
    expect(told).toEqual([]);
    expect(watchdog.threads()).toEqual([
      { name: "reactor", tid: 7, state: "R", at: "asleep", forMs: 10 * STUCK_MS - LOOK_MS },
    ]);
  });

  test("that goes on, whatever it is at", () => {
    pass(10 * STUCK_MS, () => heartbeat.beat(LOOKUP));
    expect(told).toEqual([]);
    expect(watchdog.threads()[0]?.forMs).toBe(0);
  });

  test("that was stopped with the whole process", () => {
    heartbeat.beat(LOOKUP);
    pass(STUCK_MS - LOOK_MS);
    nowMs += 3_600_000;
    watchdog.look();
    pass(STUCK_MS - LOOK_MS);
    expect(told).toEqual([]);
  });
});

describe("is stuck: a thread", () => {
  test("that has done nothing for long; it is told at once, and again each minute", () => {
    heartbeat.beat(LOOKUP);
    pass(STUCK_MS);
    expect(told).toEqual([]);
    if (thread !== undefined) thread.cpuMs = 4_990;
    pass(LOOK_MS);
    expect(told).toEqual([
      {
        name: "reactor",
        text:
          "The reactor thread is stuck: at operation 2 for 5 s; " +
          "4990 ms of processor time since, state R (running), system call running",
        canEnd: true,
        isStill: expect.any(Function),
      },
    ]);
    pass(AGAIN_MS - LOOK_MS);
    expect(told).toHaveLength(1);
    pass(LOOK_MS);
    expect(told).toHaveLength(2);
  });

  test("and it is not any more when it goes on", () => {
    heartbeat.beat(LOOKUP);
    pass(STUCK_MS + LOOK_MS);
    expect(told[0]?.isStill()).toBe(true);
    heartbeat.beat(LOOKUP);
    expect(told[0]?.isStill()).toBe(false);
    pass(STUCK_MS);
    expect(told).toHaveLength(1);
    pass(LOOK_MS);
    expect(told).toHaveLength(2);
  });

  test("that waits in the kernel: where is said, and that it cannot be ended", () => {
    const stack = ["request_wait_answer", "fuse_simple_request"];
    const wchan = "request_wait_answer";
    heartbeat.beat(At.LOOKING);
    thread = { state: "D", cpuMs: 0, wchan, syscall: "74 (fsync)", stack };
    pass(STUCK_MS + LOOK_MS);
    expect(told[0]?.canEnd).toBe(false);
    expect(told[0]?.text).toEndWith(
      "looking for work for 5 s; 0 ms of processor time since, " +
        "state D (in uninterruptible sleep), waits in request_wait_answer, " +
        "system call 74 (fsync), kernel stack request_wait_answer < fuse_simple_request",
    );
  });

  test("that has ended", () => {
    heartbeat.beat(LOOKUP);
    thread = undefined;
    pass(STUCK_MS + LOOK_MS);
    expect(told[0]?.text).toEndWith("it has ended");
  });
});

describe("/proc", () => {
  test("of this thread", () => {
    const state = threadState(gettid());
    expect(state?.state).toBe("R");
    expect(state?.wchan).toBe("");
    expect(state?.cpuMs).toBeGreaterThan(0);
  });

  test("of all threads of this process, of which some sleep", () => {
    const states = readdirSync("/proc/self/task").map((tid) => threadState(Number(tid)));
    const asleep = states.find((one) => one?.state === "S");
    expect(asleep?.wchan).not.toBe("");
    expect(asleep?.stack.length).toBeGreaterThan(1);
    expect(asleep?.syscall).toMatch(/^\d+( \(\w+\))?$/);
  });

  test("of no thread", () => {
    expect(threadState(0x3fff_ffff)).toBeUndefined();
    expect(briefState(0x3fff_ffff)).toBeUndefined();
  });
});

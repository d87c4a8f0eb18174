import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Loop } from "../../../src/bridge/loop.ts";
import { TwinsControl } from "../../../src/client/twins/control.ts";
import type { TwinsReport } from "../../../src/client/twins/report.ts";
import { ask } from "../../../src/info/query.ts";

const meeting = { kind: "socket", path: "/x".repeat(100), type: "stream", connections: 1 } as const;
const report: TwinsReport = {
  ...{ pid: 1, connected: true, resumes: 0, losses: 0, meetingCount: 2000, streamCount: 0 },
  meetings: Array.from({ length: 2000 }, () => meeting),
  streams: [],
};

let directory: string;
let loop: Loop;
let control: TwinsControl;
let turning: Timer;
beforeEach(() => {
  directory = mkdtempSync("/tmp/twins-control-");
  loop = new Loop();
  // Left by a process that had the same number.
  writeFileSync(`${directory}/twins-${process.pid}.sock`, "");
  control = new TwinsControl(loop, () => report, directory);
  turning = setInterval(() => loop.turn(), 1);
});
afterEach(() => {
  clearInterval(turning);
  control.close();
  loop.close();
  rmSync(directory, { recursive: true });
});

const path = () => `${directory}/twins-${process.pid}.sock`;

test("says what there is, however much", async () => {
  expect(await ask(path(), { want: "snapshot" })).toEqual({ ...report });
  expect(await ask(path(), { want: "snapshot" })).toEqual({ ...report });
});

test("hangs up on whoever asks for anything else", async () => {
  expect(ask(path(), { want: "log" })).rejects.toThrow("closed the connection");
  expect(await ask(path(), { want: "snapshot" })).toMatchObject({ pid: 1 });
});

test("is gone when it is closed", () => {
  control.close();
  expect(existsSync(path())).toBe(false);
});

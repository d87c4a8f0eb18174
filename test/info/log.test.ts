import { expect, test } from "bun:test";
import { createLog, isLogLevel, LOG_LEVELS, type LogLevel } from "../../src/info/log.ts";

function recorded(level: LogLevel) {
  const written: string[] = [];
  return { log: createLog(level, (line) => written.push(line)), written };
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /;
const texts = (lines: string[]) => lines.map((line) => line.replace(TIME, "").trimEnd());

test("lines have time, level and text, and are kept", () => {
  const { log, written } = recorded("info");
  log.write("warn", "careful");
  expect(written[0]).toMatch(TIME);
  expect(written[0]).toEndWith(" warn  careful\n");
  expect(log.lines()).toEqual(written.map((line) => line.trimEnd()));
});

test.each(LOG_LEVELS.map((level, i) => [level, i + 1] as const))(
  "level %p lets %d of five through",
  (level, count) => {
    const { log, written } = recorded(level);
    for (const each of LOG_LEVELS) log.write(each, "x");
    expect(written).toHaveLength(count);
  },
);

test("the level changes while it runs", () => {
  const { log } = recorded("error");
  log.write("debug", "before");
  log.level = "trace";
  log.write("debug", "after");
  expect(log.level).toBe("trace");
  expect(texts(log.lines())).toEqual(["debug after"]);
});

test("equal lines are all kept, of all lines the last 500", () => {
  const { log, written } = recorded("info");
  for (let i = 0; i < 600; i++) log.write("info", "again");
  expect(written).toHaveLength(600);
  log.write("info", "last");
  expect(log.lines()).toHaveLength(500);
  expect(log.lines().at(-1)).toEndWith("last");
});

test("a text cannot begin a line of its own, and a long one is cut in memory", () => {
  const { log, written } = recorded("info");
  log.write("info", "one\ntwo");
  log.write("info", "x".repeat(10_000));
  expect(texts(written)[0]).toBe("info  one⏎two");
  expect(log.lines()[1]?.length).toBe(500);
});

test("levels are told from other words", () => {
  expect(isLogLevel("trace")).toBe(true);
  expect(isLogLevel("silent")).toBe(false);
  expect(isLogLevel(undefined)).toBe(false);
});

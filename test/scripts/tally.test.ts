import { describe, expect, test } from "bun:test";
import { byBunTest, byExitCode, byLastLine } from "../../scripts/test-tally.ts";

const SUMMARY = "\n 12 pass\n 0 fail\n 30 expect() calls\nRan 12 tests across 3 files. [1.2s]\n";

describe("byBunTest", () => {
  test("reads the summary", () => {
    expect(byBunTest(`a.test.ts:\n(pass) one${SUMMARY}`, 0)).toEqual({ passed: 12, failed: 0 });
  });

  test("is not misled by what the tests print", () => {
    expect(byBunTest(` 99 pass\n 0 fail\n\nx${SUMMARY}`, 0)).toEqual({ passed: 12, failed: 0 });
  });

  test("counts failed, skipped and unwritten tests and stray errors as failed", () => {
    const text =
      "\n 4 pass\n 1 skip\n 1 todo\n 2 fail\n 1 error\nRan 8 tests across 1 file. [9ms]\n";
    expect(byBunTest(text, 1)).toEqual({ passed: 4, failed: 5 });
  });

  test("sees a failure where only the exit code tells", () => {
    expect(byBunTest(SUMMARY, 1)).toEqual({ passed: 12, failed: 1 });
    expect(byBunTest(SUMMARY, null)).toEqual({ passed: 12, failed: 1 });
  });

  test("counts single tests and one failure where the run crashed", () => {
    expect(byBunTest("(pass) one\n(fail) two\n(pass) three\nSegmentation fault", null)).toEqual({
      passed: 2,
      failed: 2,
    });
  });

  test("takes a run of no test for a failure", () => {
    const none = "\n 0 pass\n 0 fail\nRan 0 tests across 1 file. [1ms]\n";
    expect(byBunTest(none, 0)).toEqual({ passed: 0, failed: 1 });
    expect(byBunTest("", 0)).toEqual({ passed: 0, failed: 1 });
  });

  test("reads through colours", () => {
    const text = SUMMARY.replace(" 12 pass", "\u001b[32m 12 pass\u001b[0m");
    expect(byBunTest(text, 0)).toEqual({ passed: 12, failed: 0 });
  });
});

describe("byLastLine", () => {
  test("takes the last line of that form", () => {
    expect(byLastLine("1 passed, 0 failed\n40 passed, 2 failed, 3 limits\n", 1)).toEqual({
      passed: 40,
      failed: 2,
    });
  });

  test("takes a run without that line, or with a bad end, for a failure", () => {
    expect(byLastLine("40 passed", 0)).toEqual({ passed: 0, failed: 1 });
    expect(byLastLine("40 passed, 0 failed\n", 2)).toEqual({ passed: 40, failed: 1 });
    expect(byLastLine("0 passed, 0 failed\n", 0)).toEqual({ passed: 0, failed: 1 });
  });
});

test("byExitCode passes with 0 only", () => {
  expect(byExitCode("", 0)).toEqual({ passed: 1, failed: 0 });
  expect(byExitCode("", 1)).toEqual({ passed: 0, failed: 1 });
  expect(byExitCode("", null)).toEqual({ passed: 0, failed: 1 });
});

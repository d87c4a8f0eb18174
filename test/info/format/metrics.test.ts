import { expect, test } from "bun:test";
import { formatMetrics } from "../../../src/info/format/metrics.ts";
import { mountReport, serverReport } from "../samples.ts";

const text = formatMetrics([
  serverReport(),
  mountReport({ target: '/a "b"\\c', connected: false }),
  { kind: "mount", pid: 9, error: "late" },
]);

/** Lines of one metric, without its comments. */
function lines(name: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(`${name}{`));
}

test("each metric is announced once, and its samples follow it", () => {
  const names = text.split("\n").flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
  expect(new Set(names).size).toBe(names.length);
  let current = "";
  for (const line of text.trimEnd().split("\n")) {
    if (line.startsWith("#")) current = line.split(" ")[2] ?? "";
    else
      expect(line).toMatch(
        new RegExp(`^${current}(_sum|_count)?\\{[a-z]+="[^\\n]*"\\} [-+.e\\d]+$`),
      );
  }
});

test("who is up, and who is connected", () => {
  expect(lines("qtfs_up").map((line) => line.at(-1))).toEqual(["1", "1", "0"]);
  expect(lines("qtfs_connected")).toEqual([
    'qtfs_connected{kind="mount",pid="43",target="/a \\"b\\"\\\\c"} 0',
  ]);
});

test("latencies are a summary in seconds", () => {
  const of = 'kind="server",pid="42",listen="unix:///run/qtfs/server.sock",op="lookup"';
  expect(text).toContain(`qtfs_operation_seconds_count{${of}} 1500\n`);
  const sum = new RegExp(`qtfs_operation_seconds_sum\\{${of}\\} (\\S+)`).exec(text)?.[1];
  expect(Number(sum)).toBeCloseTo(0.03, 6);
  const half = new RegExp(`qtfs_operation_seconds\\{${of},quantile="0.5"\\} (\\S+)`).exec(
    text,
  )?.[1];
  expect(Number(half)).toBeGreaterThanOrEqual(20e-6);
  expect(text).toContain("qtfs_protocol_errors{");
});

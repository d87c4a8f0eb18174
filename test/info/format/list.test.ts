import { describe, expect, test } from "bun:test";
import { formatList } from "../../../src/info/format/list.ts";
import type { SilentReport } from "../../../src/info/report.ts";
import { mountReport, serverReport } from "../samples.ts";

const silent: SilentReport = { kind: "mount", pid: 9, error: "it has not answered for 2 s" };

describe("the list", () => {
  test("has a line for each daemon, also for one that does not answer", () => {
    const lines = formatList([serverReport(), mountReport(), silent]).split("\n");
    expect(lines[0]).toBe("KIND    PID  UP FOR     MEMORY  WHAT");
    expect(lines[1]).toBe(
      "server  42   1 h 2 min  50 MiB  /srv:ro at unix:///run/qtfs/server.sock",
    );
    expect(lines[2]).toEndWith("/srv of unix:///run/qtfs/server.sock at /mnt");
    expect(lines[3]).toEndWith("does not answer: it has not answered for 2 s");
  });

  test("says when a mount has lost its server", () => {
    expect(formatList([mountReport({ connected: false })])).toContain("at /mnt, not connected");
  });

  test("says when there is nothing", () => {
    expect(formatList([])).toBe("No qtfs server and no mount runs on this machine.\n");
  });
});

import { describe, expect, test } from "bun:test";
import { formatReport } from "../../../src/info/format/daemon.ts";
import { formatList } from "../../../src/info/format/list.ts";
import type { SilentReport, SupervisorReport } from "../../../src/info/report.ts";
import { mountReport, serverReport } from "../samples.ts";

const silent: SilentReport = { kind: "mount", pid: 9, error: "it has not answered for 2 s" };

describe("one daemon", () => {
  test("a supervisor with the calls it has seen", () => {
    const { version, startedAt, uptimeSeconds, residentBytes, logLevel } = serverReport();
    const call = { wentOn: 0, done: 0, failed: 0, meanMicroseconds: 0 };
    const report: SupervisorReport = {
      ...{
        kind: "supervisor",
        pid: 17,
        version,
        startedAt,
        uptimeSeconds,
        residentBytes,
        logLevel,
      },
      program: { pid: 16, command: ["dockerd", "-D"], startedAt: "2026-01-01T00:00:00.000Z" },
      threads: 2,
      calls: [
        { ...call, name: "mount", wentOn: 3, done: 1200, failed: 1, meanMicroseconds: 900 },
        { ...call, name: "kill" },
      ],
    };
    const text = formatReport(report);
    expect(text).toStartWith("qtfs supervisor, process 17\n  supervises       dockerd -D\n");
    expect(text).toContain("  started          as process 16, 2026-01-01T00:00:00.000Z\n");
    expect(text).toMatch(
      /CALL\s+HERE\s+ON HOST\s+FAILED\s+MEAN\nmount\s+3\s+1,200\s+1\s+900 µs\n$/,
    );
    expect(formatReport({ ...report, calls: [] })).toEndWith("No call yet.\n");
    expect(formatList([report])).toMatch(/supervisor\s+17 .* {2}dockerd -D\n$/);
  });

  test("a server with its exports and operations, the most frequent first", () => {
    const text = formatReport(serverReport());
    expect(text).toStartWith("qtfs server, process 42\n");
    expect(text).toContain("  exports          /srv (read only)\n");
    expect(text).toContain("  protocol errors  3\n  bytes in         2.0 KiB\n");
    expect(text).not.toContain("handles");
    expect(text).toContain("  reactor 0        at lookup, thread 45, state R (running)\n");
    expect(text).toContain("  call thread      in 74 (fsync) for 2 s, thread 46, state D (in");
    expect(text).toMatch(/operation\s+count\s+errors\s+data\s+mean\s+p50\s+p90\s+p99\s+max\n/);
    expect(text).toMatch(/lookup\s+1,500\s+0\s+-\s+20 µs/);
    expect(text).toMatch(/read\s+1\s+1\s+4\.0 KiB\s+3\.0 ms/);
    expect(text.indexOf("lookup")).toBeLessThan(text.indexOf("\nread "));
  });

  test("a mount with both sides' versions", () => {
    const text = formatReport(mountReport({ version: "0.0.9" }));
    expect(text).toContain("  mounted at       /mnt (read and write, cache auto)\n");
    expect(text).toContain("  state            connected\n");
    expect(text).toContain("0.0.9; this command is");
  });

  test("a server's words move no cursor", () => {
    const facts = { ...mountReport().serverFacts, build: "1\x1b[2J\nforged line" };
    const text = formatReport(mountReport({ serverFacts: facts }));
    expect(text).toContain("qtfs 1\\x1b[2J⏎forged line");
  });

  test("a mount with its sockets, and who is connected", () => {
    const both = { path: "/run/a.sock", peer: "pid 7, uid 0" };
    const figures = { bytesOut: 2048, bytesIn: 3, waiting: 0, credit: 262_144, ageSeconds: 90 };
    const twins = {
      ...{ pid: 45, connected: true, resumes: 1, losses: 0 },
      ...{ meetingCount: 3, streamCount: 1 },
      meetings: [
        { kind: "socket", path: "/run/a.sock", type: "stream", connections: 4 },
        { kind: "bound", path: "b\nsock", type: "dgram", connections: 0 },
      ] as const,
      streams: [{ ...both, ...figures }],
    };
    const text = formatReport(mountReport({ twins: { ...twins, meetings: [...twins.meetings] } }));
    expect(text).toContain("process 45, connected, 1 times resumed, 0 times lost\n");
    expect(text).toMatch(/of the HOST +stream +4 {2}\/run\/a\.sock\n/);
    expect(text).toMatch(/bound here +dgram +0 {2}b⏎sock\nand 1 more\n/);
    expect(text).toMatch(
      /2\.0 KiB +3 B +0 B +256 KiB {2}1 min 30 s {2}pid 7, uid 0 {2}\/run\/a\.sock\n/,
    );
  });

  test("one that does not answer", () => {
    expect(formatReport(silent)).toBe(
      "qtfs mount, process 9, does not answer: it has not answered for 2 s\n",
    );
  });
});

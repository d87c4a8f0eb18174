import { expect, test } from "bun:test";
import { examineDaemons } from "../../../src/info/doctor/daemons.ts";
import type { MountLine } from "../../../src/info/mountinfo.ts";
import type { DaemonReport } from "../../../src/info/report.ts";
import { mountReport, serverReport } from "../samples.ts";

function line(own: Partial<MountLine>): MountLine {
  return {
    id: 100,
    parent: 1,
    device: "0:50",
    root: "/",
    mountpoint: "/mnt",
    isShared: false,
    type: "fuse.qtfs",
    source: "/srv",
    ...own,
  };
}

/** What is not in order with one daemon. */
function wrong(report: DaemonReport, lines: MountLine[] = [line({})]) {
  return examineDaemons([report], lines).filter(({ level }) => level !== "ok");
}

/** Its sample has protocol errors and a stuck thread, to be seen elsewhere. */
const healthy = { totals: {}, threads: [] };

test("a mount that works tells how long a question takes", () => {
  const [finding] = examineDaemons([mountReport(healthy)], [line({})]);
  expect(finding).toMatchObject({ level: "ok", subject: "mount /mnt" });
  expect(finding?.says).toMatch(/^LOOKUP takes .* µs \(median of 1500\)$/i);
});

test("a slow network is a warning", () => {
  const [one] = mountReport().operations;
  if (one === undefined) throw new Error("the sample has no operation");
  const operations = [{ ...one, op: "lookup", p50Us: 9000 }];
  expect(wrong(mountReport({ ...healthy, operations }))[0]?.advice).toContain("network");
});

test("a mount without its server, and one that lost its session", () => {
  const away = wrong(mountReport({ ...healthy, connected: false }));
  expect(away[0]).toMatchObject({ level: "failure" });
  expect(away[0]?.advice).toContain("unix:///run/qtfs/server.sock");
  const { recovery } = mountReport();
  const lost = wrong(mountReport({ ...healthy, recovery: { ...recovery, sessionsLost: 2 } }));
  expect(lost[0]?.says).toContain("lost 2 times");
});

test("another release on this machine or the other", () => {
  expect(wrong(mountReport({ ...healthy, version: "0.0.1" }))[0]?.advice).toBe("Restart it.");
  const serverFacts = { ...mountReport().serverFacts, build: "0.0.2" };
  expect(wrong(mountReport({ ...healthy, serverFacts }))[0]?.says).toContain("0.0.2");
});

test("what is counted and should be zero", () => {
  expect(wrong(mountReport({ threads: [] }))[0]?.says).toBe("It has counted 3 protocol errors.");
  const totals = { tlsExpired: 2, tlsPlaintext: 0 };
  expect(wrong(serverReport({ ...healthy, totals }))[0]?.says).toBe(
    "It has refused clients: tls expired 2.",
  );
});

test("a thread that is stuck, and not one that waits for a lock", () => {
  const at = { name: "call thread", tid: 46, at: "in 74 (fsync)", forMs: 12_000 };
  const threads = (state: string) => ({ ...healthy, threads: [{ ...at, state }] });
  expect(wrong(serverReport(threads("D")))[0]?.says).toContain("in 74 (fsync) for 12 s");
  expect(wrong(serverReport(threads("S")), [])).toEqual([]);
});

test("an insecure server", () => {
  expect(wrong(serverReport({ ...healthy, insecure: true }))[0]?.advice).toContain("enroll");
});

test("a daemon that does not answer", () => {
  const [finding] = wrong({ kind: "server", pid: 9, error: "it closed the connection" }, []);
  expect(finding).toMatchObject({ level: "failure", subject: "server 9" });
});

test("mounts that have lost their process; not those within one that is served", () => {
  const within = line({ id: 101, parent: 100, device: "0:51", mountpoint: "/mnt/net" });
  const bound = line({ id: 102, mountpoint: "/elsewhere" });
  const lost = line({ id: 103, device: "0:52", mountpoint: "/gone" });
  const other = line({ id: 104, device: "0:53", mountpoint: "/tmp", type: "tmpfs" });
  const found = wrong(mountReport(healthy), [line({}), within, bound, lost, other]);
  expect(found.map(({ subject, level }) => [subject, level])).toEqual([["mount /gone", "failure"]]);
});

test("while a mount does not answer, it may be the one that has no process", () => {
  const silent = { kind: "mount", pid: 9, error: "late" } as const;
  expect(wrong(silent, [line({})]).map(({ subject }) => subject)).toEqual(["mount 9"]);
});

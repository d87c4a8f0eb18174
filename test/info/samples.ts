/** Reports as daemons make them. */
import { Counters } from "../../src/info/counters.ts";
import { machineFacts } from "../../src/info/facts.ts";
import type { MountReport, Process, ServerReport } from "../../src/info/report.ts";
import { Op } from "../../src/wire/ops.ts";

function figures() {
  const counters = new Counters();
  for (let i = 0; i < 1500; i++) counters.served(Op.LOOKUP, 20_000);
  counters.served(Op.READ, 3_000_000);
  counters.moved(Op.READ, 4096);
  counters.failed(Op.READ, 5);
  counters.gauge("BYTES_IN", 2048);
  counters.protocolErrors = 3;
  return { totals: counters.gauges(), operations: Counters.figures([counters]) };
}

const PROCESS: Process = {
  pid: 42,
  version: machineFacts().build,
  startedAt: "2026-01-02T03:04:05.000Z",
  uptimeSeconds: 3723,
  residentBytes: 50 * 1024 ** 2,
  logLevel: "info",
};

export function serverReport(own: Partial<ServerReport> = {}): ServerReport {
  return {
    kind: "server",
    ...PROCESS,
    listen: ["unix:///run/qtfs/server.sock"],
    insecure: false,
    exports: [{ path: "/srv", readOnly: true }],
    policies: [{ of: "/srv/state", policy: "live" }],
    threads: [
      { name: "reactor 0", tid: 45, state: "R", at: "at lookup", forMs: 0 },
      { name: "call thread", tid: 46, state: "D", at: "in 74 (fsync)", forMs: 2_500 },
    ],
    bridgePid: 0,
    ...figures(),
    ...own,
  };
}

export function mountReport(own: Partial<MountReport> = {}): MountReport {
  return {
    kind: "mount",
    ...PROCESS,
    pid: 43,
    source: "/srv",
    target: "/mnt",
    server: "unix:///run/qtfs/server.sock",
    identity: undefined,
    readOnly: false,
    cache: "auto",
    connected: true,
    fileSystems: [
      { path: "", type: "ext4", magic: 0xef53, policy: "watched" },
      { path: "net", type: "nfs", magic: 0x6969, policy: "short" },
    ],
    recovery: { losses: 0, serverRestarts: 0, sessionsLost: 0, lastAwayMs: 0, takeovers: 0 },
    keeper: 44,
    twinsPid: undefined,
    inStore: false,
    splits: true,
    submounts: [],
    threads: [{ name: "reactor", tid: 45, state: "S", at: "asleep", forMs: 61_000 }],
    serverFacts: machineFacts(),
    clientFacts: machineFacts(),
    ...figures(),
    ...own,
  };
}

/**
 * What daemons report, as Prometheus reads it (text format 0.0.4): counters and gauges by
 * daemon, and a summary of latencies by operation.
 */
import type { OpFigures } from "../counters.ts";
import { type DaemonReport, hasPrograms, isMount, isServer, isSilent } from "../report.ts";

type Labels = Readonly<Record<string, string | number>>;

interface Sample {
  labels: Labels;
  value: number;
  /** `_sum`, `_count`; none of a plain value. */
  suffix?: string;
}

interface Metric {
  name: string;
  type: "gauge" | "counter" | "summary";
  help: string;
  samples: Sample[];
}

const US_PER_S = 1_000_000;

/** All metrics of all daemons, those of the same name together, as the format wants it. */
export function formatMetrics(reports: readonly DaemonReport[]): string {
  const metrics = new Map<string, Metric>();
  for (const report of reports) {
    for (const metric of metricsOf(report)) {
      const known = metrics.get(metric.name);
      if (known === undefined) metrics.set(metric.name, metric);
      else known.samples.push(...metric.samples);
    }
  }
  return [...metrics.values()].map(metricText).join("");
}

function metricText({ name, type, help, samples }: Metric): string {
  const lines = samples.map(({ labels, value, suffix = "" }) => {
    const words = Object.entries(labels).map(([key, text]) => `${key}="${escaped(`${text}`)}"`);
    return `${name}${suffix}{${words.join(",")}} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function metricsOf(report: DaemonReport): Metric[] {
  const labels: Labels = { kind: report.kind, pid: report.pid, ...place(report) };
  const gauge = (name: string, help: string, value: number): Metric => {
    return { name: `qtfs_${name}`, type: "gauge", help, samples: [{ labels, value }] };
  };
  const up = gauge("up", "Whether the daemon answers.", isSilent(report) ? 0 : 1);
  if (isSilent(report)) return [up];
  const found = [
    up,
    gauge("uptime_seconds", "Since the process started.", report.uptimeSeconds),
    gauge("resident_bytes", "Resident memory (VmRSS).", report.residentBytes),
  ];
  if (isMount(report)) {
    const { connected, recovery } = report;
    found.push(
      gauge("connected", "Whether the mount has its server.", connected ? 1 : 0),
      gauge("connection_losses", "Connections lost since it was mounted.", recovery.losses),
      gauge(
        "sessions_lost",
        "Sessions that the server did not know any more.",
        recovery.sessionsLost,
      ),
    );
  }
  if (hasPrograms(report)) {
    const running = report.programs.filter(({ ending }) => ending === undefined).length;
    found.push(gauge("programs_running", "Programs that run.", running));
  }
  if (isMount(report) || isServer(report)) {
    for (const [name, value] of Object.entries(report.totals)) {
      const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      found.push(gauge(snake, "As qtfs info shows it.", value));
    }
    found.push(...operations(labels, report.operations));
  }
  return found;
}

/** What tells daemons of one kind apart, beside the process. */
function place(report: DaemonReport): Labels {
  if (isMount(report)) return { target: report.target };
  return isServer(report) ? { listen: report.listen.join(" ") } : {};
}

function operations(daemon: Labels, figures: readonly OpFigures[]): Metric[] {
  const of = (one: OpFigures): Labels => ({ ...daemon, op: one.op.toLowerCase() });
  const counter = (name: string, help: string, field: "errors" | "bytes"): Metric => {
    const samples = figures.map((one) => ({ labels: of(one), value: one[field] }));
    return { name: `qtfs_operation_${name}_total`, type: "counter", help, samples };
  };
  const latencies = figures.flatMap((one): Sample[] => {
    const at = (quantile: string, us: number): Sample => {
      return { labels: { ...of(one), quantile }, value: us / US_PER_S };
    };
    return [
      at("0.5", one.p50Us),
      at("0.9", one.p90Us),
      at("0.99", one.p99Us),
      { labels: of(one), value: (one.meanUs * one.count) / US_PER_S, suffix: "_sum" },
      { labels: of(one), value: one.count, suffix: "_count" },
    ];
  });
  if (figures.length === 0) return [];
  return [
    {
      name: "qtfs_operation_seconds",
      type: "summary",
      help: "From the request to its answer; quantiles are upper bounds.",
      samples: latencies,
    },
    counter("errors", "Operations answered with an errno.", "errors"),
    counter("bytes", "Data moved.", "bytes"),
  ];
}

/** What a server or mount has done since it was last looked at, for people. */
import type { OpFigures } from "../counters.ts";
import { type DaemonReport, isMount, isServer } from "../report.ts";
import { bytes, integer, micros } from "../units.ts";
import { columns } from "./table.ts";

/** A table per second of `seconds`; a sentence where nothing was done, "" for others than servers and mounts. */
export function formatRates(
  before: DaemonReport | undefined,
  now: DaemonReport,
  seconds: number,
): string {
  if (!isMount(now) && !isServer(now)) return "";
  const isSame = before !== undefined && (isMount(before) || isServer(before));
  const known = new Map((isSame ? before.operations : []).map((one) => [one.op, one]));
  const rows = now.operations
    .map((one) => rate(known.get(one.op), one, seconds))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count)
    .map(({ op, count, errors, data, meanUs }) => [
      op,
      integer(count),
      errors === 0 ? "-" : integer(errors),
      data === 0 ? "-" : bytes(data),
      micros(meanUs),
    ]);
  if (rows.length === 0) return "Nothing is asked for.\n";
  const heading = ["operation", "per second", "errors/s", "data/s", "mean"];
  return columns([heading, ...rows], [1, 2, 3, 4]);
}

function rate(before: OpFigures | undefined, now: OpFigures, seconds: number) {
  const count = now.count - (before?.count ?? 0);
  const spentUs =
    now.meanUs * now.count - (before === undefined ? 0 : before.meanUs * before.count);
  return {
    op: now.op,
    count: count / seconds,
    errors: (now.errors - (before?.errors ?? 0)) / seconds,
    data: (now.bytes - (before?.bytes ?? 0)) / seconds,
    meanUs: count === 0 ? 0 : Math.max(0, spentUs / count),
  };
}

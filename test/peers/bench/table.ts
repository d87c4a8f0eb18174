/** The table for people. */
import type { Results } from "./results.ts";
import type { Row } from "./rows/types.ts";

const NOTHING = "-";

/** 12345 → "12.3k": three digits are all that a measurement is worth. */
export function short(value: number): string {
  if (value >= 999_500) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 10_000) return `${(value / 1e3).toPrecision(3)}k`;
  if (value >= 100) return value.toFixed(0);
  return value.toPrecision(value >= 1 ? 3 : 2);
}

/** Pads columns: the first to the left, the others to the right. */
export function align(lines: string[][]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((text, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? text.padEnd(width) : text.padStart(width);
        })
        .join("  "),
    )
    .join("\n");
}

function figure(results: Results, row: Row, name: string | undefined): string {
  if (name === undefined) return NOTHING;
  const value = results.value(row, name);
  if (value === undefined) return results.cell(row, name).error ? "failed" : NOTHING;
  const latency = results.latencyUs(row, name, "p50Us");
  return latency === undefined ? short(value) : `${short(value)} (${short(latency)} µs)`;
}

const times = (ratio: number | undefined) => (ratio === undefined ? NOTHING : `${short(ratio)} ×`);

/** All rows; ops/s carry their p50. Ratios above 1 favour qtfs, but for the cost. */
export function rowTable(results: Results): string {
  const single = results.contestants.filter(({ family }) => family !== "sshfs");
  const qtfs = single.filter(({ family }) => family === "qtfs");
  const hasFloor = single.some(({ family }) => family === "floor");
  const head = [
    ...["", "unit", ...single.map(({ name }) => name), "best sshfs", "which"],
    ...qtfs.map(({ name }) => `${name}/sshfs`),
    ...(hasFloor ? qtfs.map(({ name }) => `floor/${name}`) : []),
  ];
  const lines = results.rows.map((row) => {
    const best = results.bestSshfs(row);
    return [
      row.id,
      row.unit,
      ...single.map(({ name }) => figure(results, row, name)),
      figure(results, row, best),
      best?.replace("sshfs-", "") ?? NOTHING,
      ...qtfs.map(({ name }) => times(results.timesBetter(row, name, best))),
      ...(hasFloor ? qtfs.map(({ name }) => times(results.timesBetter(row, "floor", name))) : []),
    ];
  });
  return align([head, ...lines]);
}

/** Each sshfs contestant in each row, to see what "best" was chosen from. */
export function sshfsTable(results: Results): string {
  const names = results.contestants
    .filter(({ family }) => family === "sshfs")
    .map(({ name }) => name);
  const lines = results.rows.map((row) => [
    row.id,
    row.unit,
    ...names.map((name) => {
      const value = results.value(row, name);
      return value === undefined ? figure(results, row, name) : short(value);
    }),
  ]);
  return align([["", "unit", ...names], ...lines]);
}

/** Resident memory of the default mounts, in MiB. */
export function memoryTable(results: Results): string {
  const head = ["", "mount idle", "server idle", "mount after", "server after"];
  const lines = [...results.memory].map(([name, { idle, after }]) => [
    name,
    ...[idle.mount, idle.server, after.mount, after.server].map((mib) => mib.toFixed(1)),
  ]);
  return align([head, ...lines]);
}

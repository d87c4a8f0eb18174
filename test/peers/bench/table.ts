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
  const mark = results.cell(row, name).error ? " !" : "";
  return short(value) + (latency === undefined ? "" : ` (${short(latency)} µs)`) + mark;
}

const times = (ratio: number | undefined) => (ratio === undefined ? NOTHING : `${short(ratio)} ×`);

interface Column {
  readonly head: string;
  cell(row: Row): string;
}

const withUnit: Column[] = [
  { head: "", cell: (row) => row.id },
  { head: "unit", cell: (row) => row.unit },
];

function tableOf(results: Results, columns: Column[]): string {
  const measured = results.rows.filter((row) => results.isMeasured(row));
  const lines = measured.map((row) => columns.map((column) => column.cell(row)));
  return align([columns.map(({ head }) => head), ...lines]);
}

/** What the best of a family reaches; how far qtfs is above sshfs, and below the floor. */
function bestOf(results: Results, family: "sshfs" | "sftp" | "floor"): Column[] {
  const members = results.contestants.filter((contestant) => contestant.family === family);
  const qtfs = results.contestants.filter((contestant) => contestant.family === "qtfs");
  if (members.length === 0) return [];
  const best = (row: Row) => results.best(family, row);
  const which = (row: Row) => best(row)?.replace("sshfs-", "") ?? NOTHING;
  return [
    { head: `best ${family}`, cell: (row) => figure(results, row, best(row)) },
    ...(members.length > 1 ? [{ head: "which", cell: which }] : []),
    ...qtfs.map(({ name }) =>
      family !== "floor"
        ? {
            head: `${name}/${family}`,
            cell: (row: Row) => times(results.timesBetter(row, name, best(row))),
          }
        : {
            head: `floor/${name}`,
            cell: (row: Row) => times(results.timesBetter(row, best(row), name)),
          },
    ),
  ];
}

/** All rows; ops/s carry their p50. Ratios above 1 favour the one before the slash. */
export function rowTable(results: Results): string {
  const alone = results.contestants.filter(({ family }) => family === "qtfs" || family === "bare");
  return tableOf(results, [
    ...withUnit,
    ...alone.map(({ name }) => ({
      head: name,
      cell: (row: Row) => figure(results, row, name),
    })),
    ...bestOf(results, "sshfs"),
    ...bestOf(results, "sftp"),
    ...bestOf(results, "floor"),
  ]);
}

/** Each sshfs contestant in each row, to see what "best" was chosen from. */
export function sshfsTable(results: Results): string {
  const columns = results.contestants
    .filter(({ family }) => family === "sshfs" || family === "sftp")
    .map(({ name }) => ({ head: name, cell: (row: Row) => figure(results, row, name) }));
  return columns.length === 0 ? "" : tableOf(results, [...withUnit, ...columns]);
}

/** Resident memory of the default mounts, in MiB. */
export function memoryTable(results: Results): string {
  if (results.memory.size === 0) return "";
  const head = ["", "mount idle", "server idle", "mount after", "server after"];
  const lines = [...results.memory].map(([name, { idle, after }]) => [
    name,
    ...[idle.mount, idle.server, after.mount, after.server].map((mib) => mib.toFixed(1)),
  ]);
  return align([head, ...lines]);
}

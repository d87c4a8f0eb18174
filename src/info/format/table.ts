/** Cells in columns, and fields with their names. */
import { BUILD } from "../facts.ts";
import { printable } from "../printable.ts";
import type { Process } from "../report.ts";
import { bytes, duration } from "../units.ts";

export type Field = readonly [name: string, value: string];

const FIELD_WIDTH = 17;

/** A field on a line of its own. */
export function fieldLine([name, value]: Field): string {
  return `  ${name.padEnd(FIELD_WIDTH)}${printable(value)}\n`;
}

/** What every daemon says of itself. */
export function processFields(report: Process): Field[] {
  const isOther = report.version !== BUILD;
  return [
    ["version", report.version + (isOther ? `; this command is ${BUILD}: restart it` : "")],
    ["up for", `${duration(report.uptimeSeconds)}, since ${report.startedAt}`],
    ["memory", bytes(report.residentBytes)],
    ["log level", report.logLevel],
  ];
}

/** Cells in columns, two spaces apart; those numbered in `right` are aligned to the right. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => {
        const width = widths[i] ?? 0;
        return right.includes(i) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

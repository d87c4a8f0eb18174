/** Samples gathered, their medians, and who is the best. */
import type { Contestant, Family } from "./contestants/types.ts";
import { lessIsBetter, type Row, type Sample } from "./rows/types.ts";
import type { Memory } from "./stack.ts";

export interface CellResult {
  readonly samples: Sample[];
  /** The reason why samples are missing. */
  error?: string;
}

export interface MemoryResult {
  readonly idle: Memory;
  after: Memory;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export class Results {
  readonly rows: Row[] = [];
  readonly #cells = new Map<string, CellResult>();
  /** Of the default mounts, by contestant. */
  readonly memory = new Map<string, MemoryResult>();

  constructor(readonly contestants: Contestant[]) {}

  cell(row: Row, contestant: string): CellResult {
    const key = `${row.id}\0${contestant}`;
    const cell = this.#cells.get(key) ?? { samples: [] };
    this.#cells.set(key, cell);
    return cell;
  }

  /** The median of a cell's values; undefined where nothing could be measured. */
  value(row: Row, contestant: string): number | undefined {
    const { samples } = this.cell(row, contestant);
    return samples.length > 0 ? median(samples.map((sample) => sample.value)) : undefined;
  }

  /** The median of a cell's latency percentile, in µs. */
  latencyUs(row: Row, contestant: string, which: "p50Us" | "p99Us"): number | undefined {
    const values = this.cell(row, contestant).samples.flatMap((sample) => sample[which] ?? []);
    return values.length > 0 ? median(values) : undefined;
  }

  /** The contestant of a family that is the fastest in the row. */
  best(family: Family, row: Row): string | undefined {
    const sign = lessIsBetter(row) ? 1 : -1;
    const ranked = this.contestants
      .filter((contestant) => contestant.family === family)
      .map(({ name }) => ({ name, value: this.value(row, name) }))
      .filter((entry) => entry.value !== undefined)
      .sort((a, b) => sign * ((a.value as number) - (b.value as number)));
    return ranked[0]?.name;
  }

  /** How many times better `one` is than `other`; above 1 is better, in every unit. */
  timesBetter(row: Row, one: string | undefined, other: string | undefined): number | undefined {
    const a = one === undefined ? undefined : this.value(row, one);
    const b = other === undefined ? undefined : this.value(row, other);
    if (a === undefined || b === undefined) return undefined;
    return lessIsBetter(row) ? b / a : a / b;
  }

  /** Whether any contestant has such a thing at all: the bare directory starts no daemon. */
  isMeasured(row: Row): boolean {
    const cells = this.contestants.map(({ name }) => this.cell(row, name));
    return cells.some(({ samples, error }) => samples.length > 0 || error !== undefined);
  }

  /** What went wrong with contestants of these families, and in which rows. */
  errors(families: Family[]): string[] {
    const rowsOf = new Map<string, string[]>();
    for (const { name, family } of this.contestants) {
      if (!families.includes(family)) continue;
      for (const row of this.rows) {
        const { error } = this.cell(row, name);
        if (error === undefined) continue;
        const key = `${name}: ${error}`;
        rowsOf.set(key, [...(rowsOf.get(key) ?? []), row.id]);
      }
    }
    return [...rowsOf].map(([error, rows]) => `${error}\n  in: ${rows.join("; ")}`);
  }
}

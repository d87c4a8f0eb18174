/** Rows of the table, and the scenarios that measure them. */
import type { Contestant, Mode } from "../contestants/types.ts";
import type { Ground, Stack } from "../stack.ts";

export type Unit = "ops/s" | "entries/s" | "MB/s" | "ms";

export interface Row {
  /** Names the row in the JSON and for --rows. */
  readonly id: string;
  readonly unit: Unit;
  readonly threads: number;
  readonly mode: Mode;
}

export const lessIsBetter = (row: Row) => row.unit === "ms";

export interface Sample {
  readonly value: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
}

/** How much is done. */
export interface Effort {
  readonly rounds: number;
  readonly measureMs: number;
  /** Before the first round of a scenario, and before each of its cells. */
  readonly firstWarmMs: number;
  readonly warmMs: number;
  /** Of the repository and of the archives. */
  readonly files: number;
}

/** One measurement of one contestant. */
export interface Cell {
  readonly ground: Ground;
  readonly contestant: Contestant;
  readonly effort: Effort;
  /** True before the rounds: the samples are thrown away. */
  readonly warmUp: boolean;
  /** Names what the cell creates. */
  readonly serial: number;
}

export type Samples = Map<string, Sample>;

/** Measured on a stack that lives as long as all scenarios of its mode. */
export interface SteadyScenario {
  readonly rows: Row[];
  readonly mode: Mode;
  /** Nothing may take longer; whoever hangs is set free then. */
  readonly timeoutMs: number;
  run(cell: Cell, stack: Stack): Promise<Samples>;
}

/** Measured from the start of a stack, which it gets before the start. */
export interface FreshScenario {
  readonly rows: Row[];
  readonly timeoutMs: number;
  run(cell: Cell, start: () => Promise<Stack>): Promise<Samples>;
}

/** Counts verdicts and tells of failures as they come. */
import { type Limit, limitOf } from "../limits.ts";
import type { Verdict } from "../worker.ts";

type Result = "passed" | "failed" | "limit" | "not applicable";

interface Line {
  name: string;
  result: Result;
  message?: string;
}

export class Tally {
  readonly #limits: readonly Limit[];
  readonly #lines: Line[] = [];

  constructor(limits: readonly Limit[]) {
    this.#limits = limits;
  }

  #count(result: Result): number {
    return this.#lines.filter((line) => line.result === result).length;
  }

  get passed(): number {
    return this.#count("passed");
  }

  get failed(): number {
    return this.#count("failed");
  }

  notApplicable(name: string): void {
    this.#lines.push({ name, result: "not applicable" });
  }

  add({ name, message }: Verdict): void {
    const limit = limitOf(name, this.#limits);
    if (limit !== undefined && message === undefined && limit.byChance !== true) {
      this.#fail(name, `limit no longer needed: ${limit.reason}`);
    } else if (limit !== undefined && message !== undefined) {
      this.#lines.push({ name, result: "limit", message });
    } else if (message !== undefined) {
      this.#fail(name, message);
    } else {
      this.#lines.push({ name, result: "passed" });
    }
  }

  #fail(name: string, message: string): void {
    this.#lines.push({ name, result: "failed", message });
    console.log(`FAIL ${name}: ${message}`);
  }

  /** The last line of a run. */
  summary(): string {
    const more = [`${this.passed} passed`, `${this.failed} failed`];
    const limits = this.#count("limit");
    if (limits > 0) more.push(`${limits} limits of the file system`);
    const absent = this.#count("not applicable");
    if (absent > 0) more.push(`${absent} not applicable on this mount`);
    return more.join(", ");
  }

  /** Every verdict, sorted by name. */
  json(): string {
    const lines = this.#lines.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return `${JSON.stringify(lines, null, 1)}\n`;
  }
}

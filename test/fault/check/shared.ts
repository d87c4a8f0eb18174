/** The files that all workers write. */
import type { LockKind, Step } from "../workload/record.ts";
import { logLine } from "../workload/shared.ts";

/**
 * The common log: whole lines, each acknowledged one once, in the order of its
 * writer; of those that may or may not have happened, none or one.
 */
export function checkLog(steps: Step[][], content: string): string[] {
  const problems: string[] = [];
  const seen = steps.map((): number[] => []);
  const lines = content.split("\n");
  if (lines.pop() !== "") problems.push("shared/log: does not end with a whole line");
  for (const [index, line] of lines.entries()) {
    const [, worker, number] = /^w(\d+) (\d+) /.exec(line) ?? [];
    const isWhole = `${line}\n` === logLine(Number(worker), Number(number));
    if (isWhole) seen[Number(worker)]?.push(Number(number));
    else problems.push(`shared/log: line ${index + 1} is "${line.slice(0, 120)}"`);
  }
  for (const [worker, all] of steps.entries()) {
    problems.push(...checkLines(all, worker, seen[worker] ?? []));
  }
  return problems;
}

function checkLines(steps: Step[], worker: number, seen: number[]): string[] {
  const tried = steps.filter(({ operation }) => operation.op === "log");
  const isSure = ({ outcome }: Step) => outcome !== undefined && outcome.error === undefined;
  const there = new Set(seen);
  const wanted = tried.filter((step) => isSure(step) || there.has(step.number));
  const [is, must] = [seen.join(" "), wanted.map(({ number }) => number).join(" ")];
  return is === must ? [] : [`shared/log: w${worker} has the lines ${is}, not ${must}`];
}

/** A common number: each acknowledged addition of one has been done once, and no value was given twice. */
export function checkCounter(steps: Step[][], lock: LockKind, content: string): string[] {
  const tried = steps
    .flat()
    .filter(({ operation }) => operation.op === "count" && operation.lock === lock);
  const values = tried.flatMap(({ outcome }) =>
    typeof outcome?.value === "number" ? outcome.value : [],
  );
  const unsure = tried.filter(({ outcome }) => outcome?.value === undefined).length;
  const name = `the number under ${lock}`;
  const problems: string[] = [];
  const twice = values.filter((value, index) => values.indexOf(value) !== index);
  if (twice.length > 0) problems.push(`${name}: given twice: ${twice.join(" ")}`);
  const number = Number(content);
  const most = values.length + unsure;
  if (number < values.length || number > most || Number.isNaN(number)) {
    problems.push(`${name} is ${content}, not ${values.length} to ${most}`);
  }
  return problems;
}

/** Whether a tree is what the workers' records say that it must be. */
import { differences } from "../../e2e/support/tree.ts";
import type { View } from "../workload/look.ts";
import { isOwn, Model, type Properties, RING } from "../workload/model.ts";
import { type Change, LOCK_KINDS, LOOKS, SHARED, type Step } from "../workload/record.ts";
import { counterName, LOG, SLOTS_FILE } from "../workload/shared.ts";
import { checkCounter, checkLog } from "./shared.ts";

/** What a patient worker's calls may answer while the server is away for too long. */
export const AWAY_ERRORS: ReadonlySet<string> = new Set(["EIO", "ENOTCONN", "ECONNABORTED"]);

/** Sentences on operations that failed in a way that they may not. */
export function checkErrors(steps: Step[][], allowed: ReadonlySet<string> = new Set()): string[] {
  return steps.flatMap((all, worker) =>
    all.flatMap(({ number, operation, outcome }) => {
      if (outcome?.error === undefined || allowed.has(outcome.error)) return [];
      const { error, text, atMs } = outcome;
      return `w${worker}.${number} ${JSON.stringify(operation)}: ${error} (${text}) at ${at(atMs)}`;
    }),
  );
}

/** The time of day of a moment, as the other lines of a round have it. */
export function at(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}

/** Sentences on what differs between `view` and what the records say; none where nothing does. */
export function checkTree(steps: Step[][], view: View): string[] {
  const paths = new Map(view.paths);
  const lines = steps.flatMap((all, worker) => checkOwn(all, worker, paths));
  return [...lines, ...checkStrangers(steps.length, paths), ...checkShared(steps, view)];
}

/** One worker's own files; where a change may or may not have happened, either is right. */
function checkOwn(steps: Step[], worker: number, paths: Map<string, Properties>): string[] {
  const actual = new Map([...paths].filter(([path]) => isOwn(worker, path)));
  const found = possibleModels(steps, worker).map((model) => {
    return differences(actual, model.describe());
  });
  return found.find((lines) => lines.length === 0) ?? found[0] ?? [];
}

/** What the worker's files may be: one model, or two where the last change is uncertain. */
function possibleModels(steps: Step[], worker: number): Model[] {
  const model = Model.of(worker);
  let uncertain: Change | undefined;
  for (const { operation, outcome } of steps) {
    if (LOOKS.has(operation.op) || SHARED.has(operation.op)) continue;
    const change = operation as Change;
    const failed = outcome === undefined || outcome.error !== undefined;
    if (!failed || outcome?.happened) model.apply(change);
    // An error that was not resolved ends the worker.
    uncertain = failed && outcome?.happened === undefined ? change : undefined;
  }
  if (uncertain === undefined) return [model];
  const after = model.clone();
  after.apply(uncertain);
  return [model, after];
}

/** Nothing may be there that nobody made. */
function checkStrangers(workers: number, paths: Map<string, Properties>): string[] {
  const shared = [LOG, SLOTS_FILE, ...LOCK_KINDS.map(counterName)];
  const common = new Set(["shared", RING, ...shared.map((name) => `shared/${name}`)]);
  const isSomeones = (path: string) =>
    Array.from({ length: workers }).some((_, worker) => isOwn(worker, path));
  return [...paths.keys()]
    .filter((path) => !common.has(path) && !isSomeones(path))
    .map((path) => `${path}: should not be there`);
}

function checkShared(steps: Step[][], { files }: View): string[] {
  const counters = LOCK_KINDS.flatMap((lock) => {
    return checkCounter(steps, lock, files[counterName(lock)] ?? "");
  });
  return [...checkLog(steps, files[LOG] ?? ""), ...counters];
}

/** Carries steps out, and undoes them. */
import type { State } from "./state.ts";
import type { Step } from "./step.ts";

/** Tells people what is done, a line each. */
export type Tell = (line: string) => void;

/**
 * Does all steps that do not stand yet. When one fails, those that were done now are undone,
 * what stood before stays, and the step's sentence is thrown.
 */
export async function up(steps: readonly Step[], state: State, tell: Tell): Promise<void> {
  const begun: Step[] = [];
  for (const step of steps) {
    if (await step.isDone()) {
      tell(`stands   ${step.name}`);
      continue;
    }
    begun.push(step);
    try {
      await carryOut(step, state, tell);
    } catch (error) {
      tell(`failed   ${step.name}`);
      await down(begun, state, tell);
      throw error;
    }
  }
}

async function carryOut(step: Step, state: State, tell: Tell): Promise<void> {
  // Before it: who is killed within it leaves what can be undone.
  if (!state.has(step.name)) state.done(step.name, null);
  state.done(step.name, await step.run());
  tell(`done     ${step.name}`);
}

/** Undoes all steps, the last first, each whatever became of the others; throws if any could not be. */
export async function down(steps: readonly Step[], state: State, tell: Tell): Promise<void> {
  const failures: string[] = [];
  for (const step of [...steps].reverse()) {
    try {
      const was = await step.isDone();
      await step.undo(state.noteOf(step.name));
      state.undone(step.name);
      if (was && !(await step.isDone())) tell(`undone   ${step.name}`);
    } catch (error) {
      failures.push(`${step.name}: ${(error as Error).message}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.join("\n"));
}

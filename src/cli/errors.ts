/** How a command ends that did not do what it was asked to. */
import { printable } from "../info/printable.ts";

/** Wrong arguments: exit code 2. The message is one sentence without a full stop. */
export class UsageError extends Error {
  override name = "UsageError";
}

/**
 * What to tell people about `error`: its sentence, or the stack of what can
 * only be a mistake in qtfs itself.
 */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  // All layers throw plain Errors with sentences; node's errors carry a code.
  const isSentence = error instanceof UsageError || error.constructor === Error || "code" in error;
  return isSentence ? printable(error.message) : (error.stack ?? error.message);
}

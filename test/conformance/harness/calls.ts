/** What an actor can be asked: every call of posix/, and the programs of programs/. */
import * as posix from "../posix/index.ts";
import * as programs from "../programs/index.ts";

export const calls = { ...posix, ...programs };

/** The same calls, answered by another process. */
export type Remote = {
  [K in keyof typeof calls]: (typeof calls)[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<R>
    : never;
};

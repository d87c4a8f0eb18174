/** A command as citty defines it, with what citty does not know of. */
import { type ArgsDef, defineCommand, type ParsedArgs, runCommand } from "citty";

export interface Example {
  command: string;
  /** What it does, in one line. */
  does: string;
}

/** A term and its explanation. */
export type Row = readonly [term: string, text: string];

/** A part of its own in the help: a table, or lines as they are. */
export type Section = { title: string } & ({ rows: readonly Row[] } | { lines: readonly string[] });

/** Values of the options that may be repeated, in their order, by option. */
export type Lists = Readonly<Record<string, readonly string[]>>;

interface Shape {
  /** As typed: `qtfs mount`. */
  name: string;
  /** What it does: a sentence. */
  description: string;
  /** Shown first in the help. */
  examples: readonly Example[];
  /** Options that may be given several times; their values are in `Lists`. */
  repeatable?: readonly string[];
  /** Options that are left out of the help. */
  hidden?: readonly string[];
  sections?: readonly Section[];
  /** Exit codes after a failure and after wrong arguments; 1 and 2 if absent. */
  exitCodes?: { failed: number; usage: number };
}

export interface Program extends Shape {
  args: ArgsDef;
  /** Runs it with checked and normalised words (arguments.ts); returns the exit code. */
  run(words: string[], lists: Lists): Promise<number>;
}

/** Makes a program of citty's argument table and a function that gets what citty parsed. */
export function program<const T extends ArgsDef>(
  shape: Shape & { args: T; run(args: ParsedArgs<T>, lists: Lists): Promise<number> },
): Program {
  const definition = defineCommand<T>({
    meta: { name: shape.name, description: shape.description },
    args: shape.args,
    run: ({ args, data }) => shape.run(args, data as Lists),
  });
  const run = async (rawArgs: string[], lists: Lists) => {
    const { result } = await runCommand(definition, { rawArgs, data: lists });
    return result as number;
  };
  return { ...shape, run };
}

/** Runs a program with a user's words: help, usage errors, exit codes. */
import { checkWords } from "./arguments.ts";
import { sentenceOf, UsageError } from "./errors.ts";
import { renderHelp } from "./help.ts";
import type { Program } from "./program.ts";

const EXIT_CODES = { failed: 1, usage: 2 };

/** Returns the exit code. Whatever goes wrong is said in one line on stderr. */
export async function runProgram(program: Program, words: readonly string[]): Promise<number> {
  const exitCodes = program.exitCodes ?? EXIT_CODES;
  try {
    const { help, normalised, lists } = checkWords(words, program);
    if (!help) return await program.run(normalised, lists);
    process.stdout.write(renderHelp(program));
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) {
      process.stderr.write(`${program.name}: ${sentenceOf(error)}\n`);
      return exitCodes.failed;
    }
    process.stderr.write(`${program.name}: ${sentenceOf(error)} (try "${program.name} --help")\n`);
    return exitCodes.usage;
  }
}

/** `qtfs rexec`, once its options are known: runs the program and ends as it has ended. */
import { writeSync } from "node:fs";
import { Resource, setLimit } from "../../sys/limits.ts";
import { exitNow, getpid, kill } from "../../sys/process.ts";
import { restoreDefault } from "../../sys/signalpipe.ts";
import type { Ending } from "../../sys/spawn.ts";
import type { Address } from "../../transport/address.ts";
import { encodeOrder } from "../order.ts";
import { join, readCaller, readEnvironment } from "./caller.ts";
import { type Descriptors, readDescriptors, terminalDescriptors } from "./descriptors.ts";
import { inheritedNumbers } from "./inherited.ts";
import { PidMap } from "./pidmap.ts";
import { FAILED, type Outcome, Run } from "./run.ts";
import { Sentences } from "./sentences.ts";
import { OwnTerminal } from "./terminal.ts";

export interface RexecOptions {
  readonly address: Address;
  /** The program and its arguments. */
  readonly argv: readonly Buffer[];
  /** NAME=value, beside what is here; and names that are left out. */
  readonly set: readonly Buffer[];
  readonly without: readonly string[];
  readonly cwd?: Buffer;
  readonly terminal: boolean;
  readonly detach: boolean;
  readonly timeoutMs: number;
  /** Descriptors above 2 that the program gets, too; ascending. Without it all that it can get. */
  readonly fds?: readonly number[];
}

/** Runs it and ends this process, as the program has ended. */
export function rexec(options: RexecOptions): never {
  const sentences = new Sentences();
  let terminal: OwnTerminal | undefined;
  try {
    if (options.terminal) terminal = new OwnTerminal(0);
    const outcome = runProgram(options, terminal, sentences);
    terminal?.leave();
    return end(outcome);
  } catch (error) {
    terminal?.leave();
    sentences.say((error as Error).message);
    return exitNow(FAILED);
  }
}

function runProgram(
  options: RexecOptions,
  terminal: OwnTerminal | undefined,
  sentences: Sentences,
): Outcome {
  const caller = readCaller();
  const descriptors = chooseDescriptors(options);
  sentences.keep();
  const { cwd, detach, timeoutMs } = options;
  const order = encodeOrder(
    {
      ...caller,
      ...(cwd && { cwd }),
      ...(terminal && { terminal: { modes: terminal.modes, size: terminal.size } }),
      fds: descriptors.fds,
      files: descriptors.files,
      detach,
      timeoutMs,
    },
    join(options.argv),
    readEnvironment(options.without, options.set),
  );
  const { address } = options;
  const sayHere = (sentence: string) => {
    terminal?.leave();
    sentences.say(sentence);
  };
  const { ignored } = caller;
  const map = new PidMap();
  const started = (pid: number) => {
    if (!detach) map.put(pid);
  };
  const common = { address, order, descriptors, ignored, detach, started, say: sayHere };
  const run = new Run({ ...common, ...(terminal && { terminal }) });
  terminal?.enter();
  const outcome = run.run();
  map.remove();
  return outcome;
}

function chooseDescriptors({ terminal, detach, fds }: RexecOptions): Descriptors {
  if (terminal) return terminalDescriptors();
  if (!detach) return readDescriptors([0, 1, 2, ...(fds ?? inheritedNumbers())], fds ?? []);
  const nothing = [0, 1, 2].map((target) => ({ target, device: "null", flags: 2 }));
  return { places: [], fds: nothing, files: [] };
}

function end(outcome: Outcome): never {
  if ("pid" in outcome) {
    write(1, `${outcome.pid}\n`);
    return exitNow(0);
  }
  return endAs(outcome);
}

/** Ends by the same signal, or with the same code. */
function endAs({ code, signal }: Ending): never {
  if (signal > 0) {
    // A core dump would be ours, not the program's.
    setLimit(0, Resource.CORE, [0, 0]);
    restoreDefault(signal);
    kill(getpid(), signal);
  }
  return exitNow(signal > 0 ? 128 + signal : code);
}

function write(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // There is nobody to hear it.
  }
}

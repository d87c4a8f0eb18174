/** What `qtfs rexec` says of itself; it reads its words on its own (rexec.ts). */
import type { Program } from "./program.ts";
import { REXEC_ARGS, REXEC_REPEATABLE } from "./rexec-options.ts";

export const rexecProgram: Program = {
  name: "qtfs rexec",
  description:
    "Runs a program on the HOST as if it were here: with these arguments, this environment, " +
    "directory, umask, user, groups and limits, and with what are standard input, output and " +
    "error here. Signals are passed on. It ends when the program has ended and all its output " +
    "is here, with its exit code, or by the signal that it died of.",
  examples: [
    { command: "qtfs rexec uname -a", does: "The HOST's answer." },
    { command: "tar c . | qtfs rexec --cwd /srv tar x", does: "Copies a tree to the HOST." },
    { command: "qtfs rexec -t bash", does: "A shell there, with a terminal." },
  ],
  args: {
    program: {
      type: "positional",
      valueHint: "PROGRAM [ARGS]...",
      description:
        "What to run: looked for there in the PATH of here. All that follows it is its own.",
    },
    ...REXEC_ARGS,
  },
  repeatable: REXEC_REPEATABLE,
  sections: [
    {
      title: "EXIT CODES",
      rows: [
        ["125", "The program's end is not known: no server, or the connection was lost."],
        ["126", "It was found and cannot be run, or the server does not allow it."],
        ["127", "It was not found."],
        ["others", "The program's."],
      ],
    },
  ],
  exitCodes: { failed: 125, usage: 2 },
  run: async () => {
    throw new Error("qtfs rexec reads its words itself");
  },
};

/** The options of `qtfs rexec`, as citty would have them: this module loads nothing. */
import type { ArgsDef } from "citty";

export const REXEC_ARGS = {
  server: {
    type: "string",
    valueHint: "ADDR",
    description:
      "unix:///PATH or tcp://HOST:PORT of the rexec-server. Default: CMD_NET_ADDR of the " +
      "environment, or unix:///run/qtfs/rexec.sock",
  },
  identity: {
    type: "string",
    valueHint: "FILE",
    description:
      "For tcp://: the file that qtfs server enroll wrote for this machine. Default: QTFS_IDENTITY " +
      "of the environment",
  },
  terminal: {
    type: "boolean",
    alias: "t",
    description:
      "Gives the program a terminal there, with the size and modes of this one, which passes " +
      "every key on until it ends.",
  },
  cwd: {
    type: "string",
    valueHint: "DIR",
    description: "Where it runs; by default in a directory of the same name as this one.",
  },
  env: {
    type: "string",
    valueHint: "NAME=VALUE",
    description: "Sets a variable, beside all that are set here; repeatable.",
  },
  detach: {
    type: "boolean",
    description:
      "Starts the program, prints its process number there, and ends: the program goes on, with " +
      "/dev/null as input, output and error.",
  },
  timeout: {
    type: "string",
    valueHint: "SECONDS",
    description:
      "Ends the program after so long, by TERM and 5 s later by KILL, also when the connection " +
      "is lost; the exit code is 124.",
  },
  fd: {
    type: "string",
    valueHint: "NUMBER|none",
    description:
      "Gives the program this descriptor and no other above 2; repeatable. Without it, it gets " +
      "all that are files, pipes, or sockets that are connected or listen.",
  },
} as const satisfies ArgsDef;

/** Those that may be given several times. */
export const REXEC_REPEATABLE = ["env", "fd"];

/** `qtfs` itself: finds the subcommand and loads no other. */

import { suggestion } from "../config/suggest.ts";
import { BUILD } from "../info/facts.ts";
import { table } from "./help.ts";
import type { Program } from "./program.ts";
import { runProgram } from "./run.ts";

interface Subcommand {
  summary: string;
  load(): Promise<Program>;
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  server: {
    summary: "On the HOST: exports directories to the DPU.",
    load: async () => (await import("./server.ts")).server,
  },
  mount: {
    summary: "On the DPU: mounts a directory of the HOST.",
    load: async () => (await import("./mount.ts")).mount,
  },
  umount: {
    summary: "On the DPU: ends a mount, or unmounts what the HOST has below one.",
    load: async () => (await import("./umount.ts")).umount,
  },
  rexec: {
    summary: "On the DPU: runs a program on the HOST as if it were here.",
    load: async () => (await import("./rexec-help.ts")).rexecProgram,
  },
  "rexec-server": {
    summary: "On the HOST: runs programs for qtfs rexec.",
    load: async () => (await import("./rexec-server.ts")).rexecServer,
  },
  offload: {
    summary: "Runs container daemons on the DPU, their containers on the HOST.",
    load: async () => (await import("./offload.ts")).offload,
  },
  info: {
    summary: "Shows what the servers, mounts and rexec-servers of this machine do.",
    load: async () => (await import("./info.ts")).info,
  },
  version: {
    summary: "Prints the version.",
    load: async () => (await import("./version.ts")).version,
  },
};

const EXAMPLES = `EXAMPLES
  qtfs server --export /srv
      On the HOST: offers /srv, in the foreground.
  qtfs mount /srv /mnt
      On the DPU: the HOST's /srv appears at /mnt.
  qtfs info /mnt
      What that mount has done so far.
  umount /mnt
  qtfs rexec-server
      On the HOST: runs programs for root of the DPU.
  qtfs rexec uname -a
      On the DPU: the HOST's answer.`;

/** Words behind `server` that are programs of their own (identity.ts). */
const IDENTITY_WORDS = new Set(["enroll", "renew", "revoke", "list"]);
const HELP_WORDS = ["help", "--help", "-h"];
const VERSION_WORDS = ["--version", "-V"];

function renderOverview(): string {
  const rows = Object.entries(SUBCOMMANDS).map(([name, { summary }]) => [name, summary] as const);
  return [
    `qtfs ${BUILD}: file systems and programs of one machine (the HOST), used from another (the DPU).`,
    EXAMPLES,
    "USAGE\n  qtfs COMMAND [OPTIONS] …",
    table("COMMANDS", rows, 80),
    '"qtfs COMMAND --help" shows a command\'s options.\n',
  ].join("\n\n");
}

/** Runs the subcommand named by the first word; returns the exit code. */
export async function runSubcommand(words: string[]): Promise<number> {
  const [first, ...rest] = words;
  if (first === undefined) {
    process.stderr.write(renderOverview());
    return 2;
  }
  const asksHelp = HELP_WORDS.includes(first);
  const name = asksHelp ? rest[0] : first;
  if (name === undefined) {
    process.stdout.write(renderOverview());
    return 0;
  }
  if (VERSION_WORDS.includes(first)) return await runNamed("version", rest);
  if (!Object.hasOwn(SUBCOMMANDS, name)) return unknown(name);
  if (name === "server" && IDENTITY_WORDS.has(rest[0] ?? "")) {
    const { IDENTITY_PROGRAMS } = await import("./identity.ts");
    return await runProgram(IDENTITY_PROGRAMS[rest[0] as string] as Program, rest.slice(1));
  }
  return await runNamed(name, asksHelp ? ["--help"] : rest);
}

async function runNamed(name: string, words: string[]): Promise<number> {
  return await runProgram(await (SUBCOMMANDS[name] as Subcommand).load(), words);
}

function unknown(name: string): number {
  const isOption = name.startsWith("-");
  const known = isOption ? ["--help", "--version"] : Object.keys(SUBCOMMANDS);
  const what = isOption ? "option" : "command";
  const hint = suggestion(name, known);
  process.stderr.write(`qtfs: unknown ${what} ${name}${hint} (try "qtfs --help")\n`);
  return 2;
}

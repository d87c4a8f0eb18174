/**
 * `qtfs rexec`. Its options end with the program's name; what follows is the program's, byte
 * for byte, and is looked at by nobody. It loads little: a program's start waits for it.
 */
import { resolve } from "node:path";
import { readWords } from "../rexec/client/caller.ts";
import { type RexecOptions, rexec } from "../rexec/client/main.ts";
import { type Address, DEFAULT_REXEC } from "../transport/address.ts";
import { PROGRAM_FD_MAX } from "../wire/limits.ts";
import { readAddress } from "./address.ts";
import { sentenceOf, UsageError } from "./errors.ts";
import type { Lists } from "./program.ts";
import { REXEC_ARGS } from "./rexec-options.ts";

/** The address of the seed's documents. */
const ADDRESS_VARIABLE = "CMD_NET_ADDR";
/** The file of this machine's identity. */
const IDENTITY_VARIABLE = "QTFS_IDENTITY";
const EXIT_USAGE = 2;
const FAILED = 125;
const SECONDS_MAX = 1e9;

/** Runs `qtfs rexec` with the last `count` words of the command line. */
export async function runRexec(count: number): Promise<number> {
  const words = readWords();
  const own = count === 0 ? [] : words.slice(-count);
  try {
    const length = optionsLength(own);
    const options = own.slice(0, length).map((word) => word.toString());
    const argv = own.slice(length);
    const { checkWords } = await import("./arguments.ts");
    const { rexecProgram } = await import("./rexec-help.ts");
    // A stand-in for the program, which shall not be looked at.
    const { help, normalised, lists } = checkWords(
      argv.length === 0 ? options : [...options.filter((word) => word !== "--"), "--", "PROGRAM"],
      rexecProgram,
    );
    if (help) {
      const { renderHelp } = await import("./help.ts");
      process.stdout.write(renderHelp(rexecProgram));
      return 0;
    }
    return rexec(readOptions(normalised, lists, argv));
  } catch (error) {
    const hint = error instanceof UsageError ? ' (try "qtfs rexec --help")' : "";
    process.stderr.write(`qtfs rexec: ${sentenceOf(error)}${hint}\n`);
    return error instanceof UsageError ? EXIT_USAGE : FAILED;
  }
}

/** Runs the program of the name that qtfs was called by, with all its words, over there. */
export function runRouted(): never {
  const none = { set: [], without: [ADDRESS_VARIABLE, IDENTITY_VARIABLE], timeoutMs: 0 };
  const given = process.env[ADDRESS_VARIABLE];
  const address = addressAs(given, undefined);
  return rexec({ ...none, address, argv: readWords(), terminal: false, detach: false });
}

/** How many words are options and their values: all before the program. */
export function optionsLength(words: readonly Buffer[]): number {
  let at = 0;
  while (at < words.length) {
    const word = (words[at] as Buffer).toString();
    if (word === "--") return at + 1;
    if (!word.startsWith("-") || word === "-") return at;
    at += takesNextWord(word) ? 2 : 1;
  }
  return words.length;
}

function takesNextWord(word: string): boolean {
  if (word.includes("=")) return false;
  const defs: Readonly<Record<string, { readonly type: string; readonly alias?: string }>> =
    REXEC_ARGS;
  if (word.startsWith("--")) {
    const def = Object.hasOwn(defs, word.slice(2)) ? defs[word.slice(2)] : undefined;
    return def !== undefined && def.type !== "boolean";
  }
  const last = Object.values(defs).find(({ alias }) => alias === word.at(-1));
  return last !== undefined && last.type !== "boolean";
}

function readOptions(
  normalised: readonly string[],
  { env = [], fd = [] }: Lists,
  argv: readonly Buffer[],
): RexecOptions {
  const value = (name: string) =>
    normalised.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
  for (const one of env) {
    if (!/^[^=]+=/.test(one)) throw new UsageError(`--env takes NAME=VALUE, not "${one}"`);
  }
  const given = value("server") ?? process.env[ADDRESS_VARIABLE];
  const cwd = value("cwd");
  return {
    address: addressAs(given, value("identity")),
    argv,
    set: env.map((one) => Buffer.from(one)),
    without: [ADDRESS_VARIABLE, IDENTITY_VARIABLE],
    ...(cwd !== undefined && { cwd: Buffer.from(resolve(cwd)) }),
    terminal: normalised.includes("--terminal"),
    detach: normalised.includes("--detach"),
    timeoutMs: readSeconds(value("timeout") ?? "0"),
    ...(fd.length > 0 && { fds: readFds(fd) }),
  };
}

/** Where the rexec-server is, and what is shown there: what was given, or the environment's, or none. */
function addressAs(given: string | undefined, identity: string | undefined): Address {
  const address = given === undefined || given === "" ? DEFAULT_REXEC : readAddress(given);
  const path = identity ?? process.env[IDENTITY_VARIABLE] ?? "";
  if (address.kind !== "tcp" || path === "") return address;
  return { ...address, identity: resolve(path) };
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || seconds > SECONDS_MAX) {
    throw new UsageError(`"${text}" is no number of seconds`);
  }
  return Math.ceil(seconds * 1000);
}

function readFds(words: readonly string[]): number[] {
  const numbers = words.filter((word) => word !== "none").map(readFd);
  return [...new Set(numbers)].sort((a, b) => a - b);
}

function readFd(text: string): number {
  const fd = Number(text);
  if (!/^\d+$/.test(text) || fd < 3 || fd > PROGRAM_FD_MAX) {
    throw new UsageError(`--fd takes a number from 3 to ${PROGRAM_FD_MAX}, or none, not "${text}"`);
  }
  return fd;
}

/**
 * The strict look at the words of a command line before citty parses them:
 * citty ignores unknown options, keeps the last of repeated ones and takes
 * whatever follows an option for its value.
 */
import type { ArgDef } from "citty";
import { suggestion } from "../config/suggest.ts";
import { UsageError } from "./errors.ts";
import type { Lists, Program } from "./program.ts";

export interface Words {
  /** Whether --help or -h is among the options; then nothing else was checked. */
  help: boolean;
  /** The same words in the form that citty cannot misread: --name=value … -- positionals. */
  normalised: string[];
  lists: Lists;
}

const HELP = ["--help", "-h"];

/** Checks `words` against the program's table; throws UsageError. */
export function checkWords(words: readonly string[], program: Program): Words {
  const end = words.indexOf("--");
  const before = end === -1 ? words : words.slice(0, end);
  if (before.some((word) => HELP.includes(word))) return { help: true, normalised: [], lists: {} };
  const scan = new Scan(program);
  scan.read([...words]);
  return scan.finish();
}

class Scan {
  readonly #program: Program;
  readonly #positionals: string[] = [];
  readonly #options: string[] = [];
  readonly #seen = new Set<string>();
  readonly #lists: Record<string, string[]> = {};

  constructor(program: Program) {
    this.#program = program;
    for (const name of program.repeatable ?? []) this.#lists[name] = [];
  }

  read(words: string[]): void {
    while (words.length > 0) {
      const word = words.shift() as string;
      if (word === "--") this.#positionals.push(...words.splice(0));
      else if (word.startsWith("--")) this.#long(word, words);
      else if (word.startsWith("-") && word !== "-") this.#short(word, words);
      else this.#positionals.push(word);
    }
  }

  finish(): Words {
    const table = Object.entries(this.#program.args).filter(([, def]) => def.type === "positional");
    const missing = table[this.#positionals.length];
    if (missing !== undefined && missing[1].required !== false) {
      throw new UsageError(`${missing[0].toUpperCase()} is missing`);
    }
    const superfluous = this.#positionals[table.length];
    if (superfluous !== undefined) throw new UsageError(`unexpected argument "${superfluous}"`);
    const normalised = [...this.#options, "--", ...this.#positionals];
    return { help: false, normalised, lists: this.#lists };
  }

  #long(word: string, rest: string[]): void {
    const equals = word.indexOf("=");
    const shown = equals === -1 ? word : word.slice(0, equals);
    const name = shown.slice(2);
    const { args } = this.#program;
    const def = Object.hasOwn(args, name) ? args[name] : undefined;
    if (def === undefined || def.type === "positional") throw this.#unknown(shown);
    this.#take(name, def, shown, equals === -1 ? undefined : word.slice(equals + 1), rest);
  }

  /** -fv, -ovalue, -o value */
  #short(word: string, rest: string[]): void {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at] as string;
      const found = Object.entries(this.#program.args).find(([, def]) => aliasOf(def) === letter);
      if (found === undefined) throw this.#unknown(`-${letter}`);
      const [name, def] = found;
      const attached = word.slice(at + 1);
      const takesRest = def.type !== "boolean" && attached !== "";
      this.#take(name, def, `-${letter}`, takesRest ? attached : undefined, rest);
      if (takesRest) return;
    }
  }

  #take(
    name: string,
    def: ArgDef,
    shown: string,
    inline: string | undefined,
    rest: string[],
  ): void {
    if (this.#seen.has(name) && this.#lists[name] === undefined) {
      throw new UsageError(`option ${shown} is given twice`);
    }
    this.#seen.add(name);
    if (def.type === "boolean") {
      if (inline !== undefined) throw new UsageError(`option ${shown} takes no value`);
      this.#options.push(`--${name}`);
      return;
    }
    const value = inline ?? rest.shift();
    // A value that begins with a dash can be given as --name=-value.
    if (value === undefined || (inline === undefined && /^-./.test(value))) {
      throw new UsageError(`option ${shown} needs a value`);
    }
    checkChoice(def, shown, value);
    if (this.#lists[name] === undefined) this.#options.push(`--${name}=${value}`);
    else this.#lists[name].push(value);
  }

  #unknown(shown: string): UsageError {
    const hidden = this.#program.hidden ?? [];
    const known = Object.entries(this.#program.args)
      .filter(([name, def]) => def.type !== "positional" && !hidden.includes(name))
      .map(([name]) => `--${name}`);
    const hint = shown.startsWith("--") ? suggestion(shown, [...known, "--help"]) : "";
    return new UsageError(`unknown option ${shown}${hint}`);
  }
}

function aliasOf(def: ArgDef): string | undefined {
  return "alias" in def && typeof def.alias === "string" ? def.alias : undefined;
}

function checkChoice(def: ArgDef, shown: string, value: string): void {
  if (def.type !== "enum" || def.options === undefined || def.options.includes(value)) return;
  const hint = suggestion(value, def.options) || `: it is one of ${def.options.join(", ")}`;
  throw new UsageError(`option ${shown} cannot be "${value}"${hint}`);
}

/** TOML files, with the line numbers that Bun's parser keeps to itself. */
import { readFileSync, statSync } from "node:fs";

/** A configuration is written by hand; the bound keeps the search for lines short. */
const FILE_BYTES_MAX = 64 * 1024;

export interface TomlFile {
  path: string;
  text: string;
  value: Record<string, unknown>;
}

/** Reads a file of TOML; throws a sentence with the line of what is wrong. */
export function readToml(path: string): TomlFile {
  const text = readText(path);
  try {
    return { path, text, value: Bun.TOML.parse(text) as Record<string, unknown> };
  } catch (error) {
    const reason = (error as Error).message.replace(/^TOML Parse error: /, "");
    throw new Error(`${path}, line ${lineOfSyntaxError(text)}: ${reason}`);
  }
}

function readText(path: string): string {
  const attempt = <T>(read: () => T): T => {
    try {
      return read();
    } catch (error) {
      throw new Error(`Cannot read the configuration: ${(error as Error).message}`);
    }
  };
  const { size } = attempt(() => statSync(path));
  if (size > FILE_BYTES_MAX) {
    throw new Error(`${path} has ${size} bytes, more than the ${FILE_BYTES_MAX} allowed`);
  }
  return attempt(() => readFileSync(path, "utf8"));
}

/**
 * The line where the statement begins that cannot be parsed: the first one that
 * no longer parses together with all before it, however much of it is taken.
 */
function lineOfSyntaxError(text: string): number {
  const lines = text.split("\n");
  let good = lines.length - 1;
  while (good > 0 && !parses(lines.slice(0, good).join("\n"))) good--;
  let at = good;
  while (at < lines.length - 1 && /^\s*(#|$)/.test(lines[at] as string)) at++;
  return at + 1;
}

function parses(text: string): boolean {
  try {
    Bun.TOML.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Where a key stands: before all tables, or in the `index`-th `[[table]]`. */
export interface Place {
  table?: string;
  index?: number;
}

/**
 * The line of `key`, counted from 1; without a key, that of the table's header.
 * Undefined where the file words it in a way that this simple search misses,
 * an inline table for one.
 */
export function lineOf(text: string, key: string | undefined, place: Place): number | undefined {
  let current: string | undefined;
  let occurrence = -1;
  for (const [at, line] of text.split("\n").entries()) {
    const header = /^\s*\[{1,2}\s*"?([^\]"]+?)"?\s*\]/.exec(line)?.[1];
    if (header !== undefined) {
      current = header;
      if (header === place.table) occurrence++;
      if (header === place.table && occurrence === place.index && key === undefined) return at + 1;
      if (place.table === undefined && header === key) return at + 1;
    }
    const name = /^\s*["']?([\w-]+)["']?\s*[=.]/.exec(line)?.[1];
    const isHere =
      current === place.table && (place.table === undefined || occurrence === place.index);
    if (isHere && name !== undefined && name === key) return at + 1;
  }
  return undefined;
}

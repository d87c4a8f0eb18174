/** What the schemas of all configurations share, and how what does not fit them is explained. */
import { z } from "zod";
import { parseAddress } from "../transport/address.ts";
import { suggestion } from "./suggest.ts";
import { lineOf, type Place, type TomlFile } from "./toml.ts";

// Parsed once: compiling it first would cost more than it saves.
z.config({ jitless: true });

/** An address as users write it. */
export const address = z.string().transform((text, context) => {
  try {
    return parseAddress(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
    return z.NEVER;
  }
});

/**
 * What is wrong with a file, in one sentence; `tables` are those that may be there several times:
 * `FILE, line 7: unknown key "read-only" in [[export]], did you mean read_only?`
 */
export function explain(
  file: TomlFile,
  error: z.ZodError,
  schema: z.ZodObject,
  tables: Readonly<Record<string, z.ZodObject>>,
): string {
  const issue = error.issues[0] as z.core.$ZodIssue;
  const [first, index, inTable] = issue.path;
  const table = typeof index === "number" ? tables[String(first)] : undefined;
  const isTable = table !== undefined;
  const place: Place = isTable ? { table: String(first), index: index as number } : {};
  const where = isTable ? ` in [[${String(first)}]]` : "";
  const at = (key: string | undefined) => {
    const line = lineOf(file.text, key, place) ?? lineOf(file.text, undefined, place);
    return line === undefined ? file.path : `${file.path}, line ${line}`;
  };
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] as string;
    const known = Object.keys((table ?? schema).shape);
    return `${at(key)}: unknown key "${key}"${where}${suggestion(key, known)}`;
  }
  const key = String((isTable ? inTable : first) ?? first);
  const isMissing = isTable && valueAt(file.value, issue.path) === undefined;
  if (isMissing && issue.code !== "custom")
    return `${at(undefined)}: this [[${String(first)}]] has no ${key}`;
  const reason = issue.message.replace(/^Invalid (input|option): /, "");
  return `${at(key)}: ${key}${where}: ${reason}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown>)?.[key],
    value,
  );
}

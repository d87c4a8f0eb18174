/** Patterns of programs, arguments and variables: `*` is any text, `?` any one byte. */

/** A pattern as it is written in a file, as one of bytes: each character is one. */
export function bytePattern(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** Stands for all arguments that follow, in a list of patterns. */
export const REST = "...";

/** What arguments are to be: a pattern for all of them, joined by blanks, or one for each. */
export type ArgsPattern = string | readonly string[];

/** Whether `args` are as `pattern` says; each character of both is a byte. */
export function matchesArgs(pattern: ArgsPattern, args: readonly string[]): boolean {
  if (typeof pattern === "string") return matches(pattern, args.join(" "));
  const isOpen = pattern.at(-1) === REST;
  const each = isOpen ? pattern.slice(0, -1) : pattern;
  if (args.length < each.length || (!isOpen && args.length > each.length)) return false;
  return each.every((one, i) => matches(one, args[i] as string));
}

/** Whether `text` is of the form `pattern`: in linear steps, for both may be long. */
export function matches(pattern: string, text: string): boolean {
  let [at, in_, star, mark] = [0, 0, -1, 0];
  while (at < text.length) {
    const letter = pattern[in_];
    if (letter === "*") {
      star = in_++;
      mark = at;
    } else if (letter === "?" || letter === text[at]) {
      at++;
      in_++;
    } else if (star >= 0) {
      in_ = star + 1;
      at = ++mark;
    } else return false;
  }
  while (pattern[in_] === "*") in_++;
  return in_ === pattern.length;
}

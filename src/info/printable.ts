/** Text of others made harmless for a terminal and a log. */

/** Control characters made visible, so that text stays one line and moves no cursor. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) =>
    character === "\n" ? "⏎" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

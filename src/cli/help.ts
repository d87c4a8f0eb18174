/** The help of a command: examples first, then usage and tables. */
import type { ArgDef } from "citty";
import type { Program, Row, Section } from "./program.ts";

const WIDTH_MAX = 96;
const WIDTH_WITHOUT_TERMINAL = 80;
const INDENT = "  ";
/** Terms longer than this stand on a line of their own. */
const TERM_MAX = 24;

/** `qtfs mount [OPTIONS] SRC TARGET` */
export function usageLine(program: Program): string {
  const words = positionals(program).map(([name, def]) => {
    const shown = shownName(name, def);
    return def.required === false ? `[${shown}]` : shown;
  });
  return [program.name, "[OPTIONS]", ...words].join(" ");
}

/** The whole help, lines at most as wide as the terminal. */
export function renderHelp(program: Program): string {
  const width = Math.min(process.stdout.columns || WIDTH_WITHOUT_TERMINAL, WIDTH_MAX);
  const examples = program.examples.flatMap(({ command, does }) => [
    `${INDENT}${command}`,
    ...wrap(does, width - 6).map((line) => `${INDENT.repeat(3)}${line}`),
  ]);
  const sections: Section[] = [
    { title: "ARGUMENTS", rows: positionals(program).map(row) },
    { title: "OPTIONS", rows: [...options(program).map(row), HELP_ROW] },
    ...(program.sections ?? []),
  ];
  const parts = [
    wrap(program.description, width).join("\n"),
    ["EXAMPLES", ...examples].join("\n"),
    `USAGE\n${INDENT}${usageLine(program)}`,
    ...sections.filter((section) => !isEmpty(section)).map((section) => render(section, width)),
  ];
  return `${parts.join("\n\n")}\n`;
}

function isEmpty(section: Section): boolean {
  return "rows" in section && section.rows.length === 0;
}

function render(section: Section, width: number): string {
  if ("rows" in section) return table(section.title, section.rows, width);
  return [section.title, ...section.lines.map((line) => `${INDENT}${line}`.trimEnd())].join("\n");
}

/** Terms to the left, their texts wrapped to the right. */
export function table(title: string, rows: readonly Row[], width: number): string {
  const terms = rows.map(([term]) => term.length).filter((length) => length <= TERM_MAX);
  const column = Math.max(8, ...terms) + 2;
  const lines = rows.flatMap(([term, text]) => {
    const wrapped = wrap(text, width - column - INDENT.length);
    const head = term.length > TERM_MAX ? [`${INDENT}${term}`] : [];
    const label = head.length > 0 ? "" : term;
    const body = wrapped.map(
      (line, i) => `${INDENT}${(i === 0 ? label : "").padEnd(column)}${line}`,
    );
    return [...head, ...body].map((line) => line.trimEnd());
  });
  return [title, ...lines].join("\n");
}

const HELP_ROW: Row = ["-h, --help", "Shows this help."];

function positionals(program: Program): [string, ArgDef][] {
  return Object.entries(program.args).filter(([, def]) => def.type === "positional");
}

function options(program: Program): [string, ArgDef][] {
  const hidden = program.hidden ?? [];
  return Object.entries(program.args).filter(
    ([name, def]) => def.type !== "positional" && !hidden.includes(name),
  );
}

function shownName(name: string, def: ArgDef): string {
  return def.valueHint ?? name.toUpperCase();
}

function row([name, def]: [string, ArgDef]): Row {
  const text = def.description ?? "";
  if (def.type === "positional") return [shownName(name, def), text];
  const alias = "alias" in def && typeof def.alias === "string" ? `-${def.alias}, ` : "";
  const value = def.type === "boolean" ? "" : ` ${shownName(name, def)}`;
  return [`${alias}--${name}${value}`, text];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

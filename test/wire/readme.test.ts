/** The protocol document says what the code does: its table of operations, kinds and events. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { MountCall } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import * as limits from "../../src/wire/limits.ts";
import { ARGUMENTS, changesSomething, Event, Oneway, Op } from "../../src/wire/ops.ts";
import { StreamKind, StreamMessage } from "../../src/wire/streams.ts";

const page = readFileSync(new URL("../../src/wire/README.md", import.meta.url), "utf8");

/** Cells of the rows of the table whose first heading is `heading`. */
function table(heading: string): string[][] {
  const lines = page.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  const end = lines.findIndex((line, i) => i > start && !line.startsWith("|"));
  return lines.slice(start + 2, end).map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}

/** Arguments in a cell: "caller (3)" stands for three, what follows ";" is no argument. */
function argumentCount(cell: string): number {
  const list = (cell.split(";")[0] as string).trim();
  if (list === "") return 0;
  return list.split(",").reduce((sum, item) => sum + (item.includes("(3)") ? 3 : 1), 0);
}

test("every operation is in the table, with its number, arguments and replay class", () => {
  const rows = table("op");
  const named = new Map(rows.map((row) => [row[1] as string, row]));
  expect([...named.keys()].sort()).toEqual(Object.keys(Op).sort());
  for (const [name, number] of Object.entries(Op)) {
    const [op, , list, , , kept] = named.get(name) as string[];
    expect([name, Number(op)]).toEqual([name, number]);
    expect([name, argumentCount(list as string)]).toEqual([name, ARGUMENTS[number] as number]);
    expect([name, kept === "kept"]).toEqual([name, changesSomething(number)]);
  }
});

test.each([
  ["kind", Kind],
  ["one-way", Oneway],
  ["event", Event],
  ["message", StreamMessage],
  ["call", MountCall],
  ["stream kind", StreamKind],
] as const)("the table of each %s is complete", (heading, numbers) => {
  const rows = table(heading).map((row) => [row[1], Number(row[0])]);
  expect(Object.fromEntries(rows)).toEqual(numbers);
});

test("every limit is in the table, with its value", () => {
  const rows = table("limit").map(([name, value]) => [name, Number(value)]);
  const { VERSION_MIN, VERSION_MAX, PREFIX_BYTES, FRAME_MAX, ...rest } = limits;
  expect(Object.fromEntries(rows)).toEqual(rest);
  expect(VERSION_MIN).toBe(1);
  expect(page).toContain(`\nVersion ${VERSION_MAX}. `);
  expect(FRAME_MAX).toBe(PREFIX_BYTES + rest.HEADER_MAX + rest.PAYLOAD_MAX);
});

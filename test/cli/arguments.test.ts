import { describe, expect, test } from "bun:test";
import { checkWords } from "../../src/cli/arguments.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { renderHelp, usageLine } from "../../src/cli/help.ts";
import { program } from "../../src/cli/program.ts";
import { runProgram } from "../../src/cli/run.ts";

let seen: unknown;
const sample = program({
  name: "sample",
  description: "For tests.",
  examples: [{ command: "sample one", does: "Shows one." }],
  args: {
    from: { type: "positional", required: true },
    to: { type: "positional", required: false },
    level: { type: "enum", options: ["low", "high"], valueHint: "LEVEL", description: "How." },
    name: { type: "string", alias: "n" },
    item: { type: "string", alias: "i" },
    force: { type: "boolean", alias: "f" },
    secret: { type: "boolean" },
  },
  repeatable: ["item"],
  hidden: ["secret"],
  run: async ({ from, to, level, name, force }, lists) => {
    seen = { from, to, level, name, force, items: lists.item };
    return 7;
  },
});

async function parse(...words: string[]): Promise<unknown> {
  seen = undefined;
  expect(await runProgram(sample, words)).toBe(7);
  return seen;
}

function refusal(...words: string[]): string {
  try {
    checkWords(words, sample);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("these words were accepted");
}

describe("words that are right", () => {
  test("options before, between and after positionals", async () => {
    const expected = { from: "a", to: "b", level: "low", name: "x", force: true, items: [] };
    expect(await parse("--level", "low", "-f", "--name=x", "a", "b")).toEqual(expected);
    expect(await parse("a", "--level=low", "b", "-n", "x", "--force")).toEqual(expected);
    expect(await parse("a", "b", "-fnx", "--level", "low")).toEqual(expected);
  });

  test("repeatable options keep all values in their order", async () => {
    expect(await parse("a", "--item", "1", "-i2", "--item=3")).toMatchObject({
      items: ["1", "2", "3"],
    });
  });

  test("values may be empty, hold = or, attached, begin with a dash", async () => {
    expect(await parse("a", "--name=")).toMatchObject({ name: "" });
    expect(await parse("a", "--name=k=v")).toMatchObject({ name: "k=v" });
    expect(await parse("a", "--name=--no-force", "-f")).toMatchObject({
      name: "--no-force",
      force: true,
    });
    expect(await parse("a", "--name", "-")).toMatchObject({ name: "-" });
  });

  test("after -- everything is a positional", async () => {
    expect(await parse("--", "--level", "--no-force")).toMatchObject({
      from: "--level",
      to: "--no-force",
    });
  });

  test("--help wins over other mistakes, but not after --", () => {
    expect(checkWords(["--bogus", "--help"], sample).help).toBe(true);
    expect(checkWords(["-h"], sample).help).toBe(true);
    expect(checkWords(["--", "-h"], sample).help).toBe(false);
  });
});

describe("words that are wrong", () => {
  test.each([
    [["a", "--forse"], "unknown option --forse, did you mean --force?"],
    [["a", "--quite-different"], "unknown option --quite-different"],
    [["a", "-fx"], "unknown option -x"],
    [["a", "--from=b"], "unknown option --from"],
    [["a", "--secrt"], "unknown option --secrt"],
    [["a", "-f", "--force"], "option --force is given twice"],
    [["a", "--name=1", "-n", "2"], "option -n is given twice"],
    [["a", "--name"], "option --name needs a value"],
    [["a", "--name", "--force"], "option --name needs a value"],
    [["a", "-n"], "option -n needs a value"],
    [["a", "--force=yes"], "option --force takes no value"],
    [["a", "--level=hihg"], 'option --level cannot be "hihg", did you mean high?'],
    [["a", "--level=?"], 'option --level cannot be "?": it is one of low, high'],
    [[], "FROM is missing"],
    [["a", "b", "c"], 'unexpected argument "c"'],
    [["a", "--toString"], "unknown option --toString"],
  ])("%p", (words, sentence) => {
    expect(refusal(...words)).toBe(sentence);
  });
});

describe("help", () => {
  test("shows examples before the rest and no hidden option", () => {
    const help = renderHelp(sample);
    expect(help.indexOf("EXAMPLES")).toBeLessThan(help.indexOf("OPTIONS\n"));
    expect(help).toContain("  sample one\n      Shows one.\n");
    expect(help).toContain("--level LEVEL");
    expect(help).toContain("-n, --name NAME");
    expect(help).not.toContain("secret");
  });

  test("names positionals that may be left out in brackets", () => {
    expect(usageLine(sample)).toBe("sample [OPTIONS] FROM [TO]");
  });
});

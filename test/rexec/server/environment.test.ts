/** Which variables a rule lets through, and which no pattern does. */
import { expect, test } from "bun:test";
import {
  type EnvRule,
  environmentBy,
  PASSED_TO_OTHERS,
} from "../../../src/rexec/server/environment.ts";

const RULE: EnvRule = { pass: ["*"], set: [], defaults: [], isGuarded: false };

function made(entries: string[], rule: Partial<EnvRule>): string[] {
  const env = Buffer.from(entries.map((one) => `${one}\0`).join(""), "latin1");
  const text = environmentBy(env, { ...RULE, ...rule }).toString("latin1");
  return text === "" ? [] : text.slice(0, -1).split("\0");
}

test("passes by patterns, byte for byte", () => {
  const entries = ["A=1", "AB=\xff=\xfe", "B=", "noequals", "=odd=x", "C=3"];
  expect(made(entries, {})).toEqual(["A=1", "AB=\xff=\xfe", "B=", "C=3"]);
  expect(made(entries, { pass: ["A*", "C"] })).toEqual(["A=1", "AB=\xff=\xfe", "C=3"]);
  expect(made(entries, { pass: ["?"] })).toEqual(["A=1", "B=", "C=3"]);
  expect(made(entries, { pass: [] })).toEqual([]);
  expect(made([], {})).toEqual([]);
});

test("what is set wins over what is passed, and that over defaults", () => {
  const rule = {
    set: [["A", "set"]],
    defaults: [
      ["A", "d"],
      ["B", "d"],
      ["C", "d"],
    ],
  } as const;
  expect(made(["A=1", "B=1"], rule)).toEqual(["A=set", "B=1", "C=d"]);
});

test("a name that is there twice comes once", () => {
  expect(made(["A=1", "A=2"], {})).toEqual(["A=2"]);
});

const dangerous = [
  ["LD_PRELOAD=/x", "LD_LIBRARY_PATH=/x", "GLIBC_TUNABLES=x", "GCONV_PATH=/x", "LOCPATH=/x"],
  ["BASH_ENV=/x", "ENV=/x", "IFS=x", "BASH_FUNC_ls%%=() { id; }", "SHELLOPTS=x", "PS4=$(id)"],
  ["PYTHONPATH=/x", "PERL5OPT=-Mx", "RUBYOPT=-rx", "NODE_OPTIONS=-r/x", "JAVA_TOOL_OPTIONS=x"],
  ["PATH=/x", "HOME=/x", "ls=() { id; }"],
].flat();

test.each(dangerous)("no pattern passes %s to another user's program", (entry) => {
  expect(made([entry, "SAFE=1"], { isGuarded: true })).toEqual(["SAFE=1"]);
  expect(made([entry, "SAFE=1"], {})).toEqual([entry, "SAFE=1"]);
  const name = entry.slice(0, entry.indexOf("="));
  expect(made([entry, "SAFE=1"], { isGuarded: true, pass: [name] })).toEqual([entry]);
});

test("a language is no path", () => {
  const rule = { isGuarded: true, pass: [...PASSED_TO_OTHERS] };
  const good = ["LANG=de_DE.UTF-8", "LC_ALL=C", "TERM=xterm-256color"];
  expect(made([...good, "LC_TIME=/tmp/x", "LANGUAGE=%n", "HISTFILE=x"], rule)).toEqual(good);
});

/** What the doctor found, for people. */
import type { Finding, Level } from "../doctor/finding.ts";
import { printable } from "../printable.ts";

const MARKS: Readonly<Record<Level, string>> = {
  ok: "ok      ",
  warning: "WARNING ",
  failure: "FAILURE ",
};

/** A line for each, with what to do on the next; how many of each level last. */
export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.map(({ level, subject, says, advice }) => {
    const line = `${MARKS[level]}${printable(subject).padEnd(width)}  ${printable(says)}\n`;
    const indent = " ".repeat(MARKS[level].length + width + 2);
    return advice === undefined ? line : `${line}${indent}→ ${printable(advice)}\n`;
  });
  const count = (level: Level) => findings.filter((one) => one.level === level).length;
  const sums = [
    ...counted(count("failure"), "failure"),
    ...counted(count("warning"), "warning"),
  ].join(", ");
  return `${lines.join("")}${sums === "" ? "Nothing is wrong" : sums}.\n`;
}

function counted(count: number, what: string): string[] {
  return count === 0 ? [] : [`${count} ${what}${count === 1 ? "" : "s"}`];
}

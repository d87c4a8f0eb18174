/** The workload and its checker on a plain directory: right as it is, and wrong as soon as anything is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { checkErrors, checkTree } from "./check/outcome.ts";
import { risks, wasAnythingAtRisk } from "./check/risk.ts";
import { Crew, prepareRoot } from "./workload/crew.ts";
import { lookAt } from "./workload/look.ts";
import { Model } from "./workload/model.ts";
import { type Operation, readSteps, type Step } from "./workload/record.ts";
import { counterName, LOG, logLine } from "./workload/shared.ts";

const LOAD_MS = 1500;
const STUCK_MS = 20_000;
const directory = mkdtempSync(`${tmpdir()}/checker-`);
const root = `${directory}/root`;
let steps: Step[][];

beforeAll(async () => {
  mkdirSync(root);
  prepareRoot(root);
  const scratch = `${directory}/logs`;
  const crew = new Crew({ root, scratch, seed: 42, stuckMs: STUCK_MS });
  await crew.working();
  await Promise.race([Bun.sleep(LOAD_MS), crew.failed]);
  await crew.finish();
  expect(crew.problems).toEqual([]);
  steps = crew.steps();
});
afterAll(() => rmSync(directory, { recursive: true }));

const problems = () => checkTree(steps, lookAt(root));

test("a plain directory is as recorded, and every operation was tried", () => {
  expect(checkErrors(steps)).toEqual([]);
  expect(problems()).toEqual([]);
  const tried = new Set(steps.flat().map(({ operation }) => operation.op));
  expect(tried.size).toBe(23);
  for (const all of steps) expect(all.length).toBeGreaterThan(50);
});

/** A worker's file with content and one name. */
function someFile(): string {
  const [path] =
    lookAt(root).paths.find(([, one]) => one.links === "1" && Number(one.size) > 9) ?? [];
  return `${root}/${path}`;
}

/** Something is made wrong, and put right again. */
const WRONGS: [string, () => () => void][] = [
  ["a byte is another", () => changed(someFile(), (all) => all.fill(all[0] === 1 ? 2 : 1, 0, 1))],
  ["a byte is missing", () => changed(someFile(), (all) => all.subarray(1))],
  [
    "a file is gone",
    () => {
      const path = someFile();
      renameSync(path, `${directory}/away`);
      return () => renameSync(`${directory}/away`, path);
    },
  ],
  [
    "a file has another name",
    () => {
      const path = someFile();
      renameSync(path, `${path}.other`);
      return () => renameSync(`${path}.other`, path);
    },
  ],
  [
    "a name too many",
    () => {
      linkSync(someFile(), `${root}/w0/more`);
      return () => unlinkSync(`${root}/w0/more`);
    },
  ],
  [
    "another mode",
    () => {
      const path = someFile();
      const mode = Number.parseInt(
        lookAt(root).paths.find(([one]) => path.endsWith(one))?.[1].mode ?? "",
        8,
      );
      chmodSync(path, 0o111);
      return () => chmodSync(path, mode);
    },
  ],
  [
    "a file of nobody",
    () => {
      writeFileSync(`${root}/ring/stranger`, "");
      return () => unlinkSync(`${root}/ring/stranger`);
    },
  ],
  [
    "a lock that was left",
    () => {
      mkdirSync(`${root}/shared/lock.d`);
      return () => rmSync(`${root}/shared/lock.d`, { recursive: true });
    },
  ],
  ["a line lost", () => logged((lines) => lines.slice(1))],
  ["the last line lost", () => logged((lines) => lines.slice(0, -1))],
  ["a line twice", () => logged((lines) => [...lines, lines[3] ?? ""])],
  ["a line torn", () => logged((lines) => lines.with(2, (lines[2] ?? "").slice(0, -3)))],
  ["lines in another order", () => logged((lines) => lines.toReversed())],
  ["lines of nobody", () => logged((lines) => [...lines, logLine(3, 999_999).trimEnd()])],
  ["a count lost", () => changed(`${root}/shared/${counterName("fcntl")}`, (all) => plus(all, -1))],
  [
    "a count too many",
    () => changed(`${root}/shared/${counterName("mkdir")}`, (all) => plus(all, 1)),
  ],
];

function changed(path: string, change: (content: Buffer) => Uint8Array): () => void {
  const content = readFileSync(path);
  writeFileSync(path, change(Buffer.from(content)));
  return () => writeFileSync(path, content);
}

function logged(change: (lines: string[]) => string[]): () => void {
  return changed(`${root}/shared/${LOG}`, (all) => {
    return Buffer.from(`${change(all.toString().trimEnd().split("\n")).join("\n")}\n`);
  });
}

function plus(content: Buffer, difference: number): Buffer {
  return Buffer.from(`${Number(content) + difference}`.padStart(12, "0"));
}

test.each(WRONGS)("the checker sees: %s", (_, wrong) => {
  const right = wrong();
  try {
    expect(problems()).not.toEqual([]);
  } finally {
    right();
  }
  expect(problems()).toEqual([]);
});

describe("records", () => {
  const step = (operation: Operation, atMs: number, rest: Partial<Step> = {}): Step => {
    return { number: atMs, atMs, operation, outcome: { atMs: atMs + 1 }, ...rest };
  };

  test("an error is a failure, and one that is allowed is not", () => {
    const failed = step({ op: "verify" }, 1, { outcome: { atMs: 2, error: "EIO", text: "open" } });
    expect(checkErrors([[failed]])).toHaveLength(1);
    expect(checkErrors([[failed]], new Set(["EIO"]))).toEqual([]);
  });

  test("what was under way may have happened or not, and nothing else", () => {
    const made = step({ op: "mkdir", path: "w0/a" }, 1);
    const open = { number: 2, atMs: 2, operation: { op: "rename", path: "w0/a", to: "w0/b" } };
    const all = [[made, open as Step]];
    const model = Model.of(0);
    const view = (paths: string[]) => {
      const known = paths.map((path): [string, Record<string, string>] => {
        return [path, { type: "directory", mode: "755" }];
      });
      const zero = "0".padStart(12, "0");
      const files = { log: "", "count-fcntl": zero, "count-flock": zero, "count-mkdir": zero };
      return { paths: [...model.describe(), ...known], files };
    };
    expect(checkTree(all, view(["w0/a"]))).toEqual([]);
    expect(checkTree(all, view(["w0/b"]))).toEqual([]);
    expect(checkTree(all, view([]))).not.toEqual([]);
    expect(checkTree(all, view(["w0/a", "w0/b"]))).not.toEqual([]);
  });

  test("a fault between operations puts nothing at risk", () => {
    const all = [[step({ op: "verify" }, 10), step({ op: "verify" }, 20)]];
    const strike = (fromMs: number) => ({ text: "cut", fromMs, toMs: fromMs + 1 });
    expect(wasAnythingAtRisk(risks([strike(15)], all))).toBe(false);
    expect(wasAnythingAtRisk(risks([strike(10.5)], all))).toBe(true);
    const [risk] = risks(
      [strike(20.5)],
      [[...(all[0] ?? []), { number: 30, atMs: 20.2, operation: { op: "verify" } }]],
    );
    expect(risk?.underWay).toBe(2);
    expect(risk?.longestMs).toBe(Infinity);
  });
});

test("a line of a record that is cut short counts as not there", () => {
  const path = `${directory}/torn`;
  writeFileSync(path, '{"number":1,"atMs":1,"operation":{"op":"verify"}}\n{"number":1,"atM');
  expect(readSteps(path)).toEqual([{ number: 1, atMs: 1, operation: { op: "verify" } }]);
});

test("a worker sees what changes behind its back, and a crew sees a worker that is stuck", async () => {
  const second = `${directory}/second`;
  mkdirSync(second);
  prepareRoot(second);
  const stuckMs = 1000;
  // Whoever waits for a number that the stopped one has locked would be stuck too.
  const words = ["--without", "count"];
  const crew = new Crew({
    root: second,
    scratch: `${directory}/second-logs`,
    seed: 7,
    stuckMs,
    words,
  });
  await crew.working();
  const [stopped = 0] = crew.pids;
  process.kill(stopped, "SIGSTOP");
  const scribble = () => writeFileSync(`${second}/shared/slots`, "x".repeat(4096));
  const scribbling = setInterval(scribble, 20);
  await Bun.sleep(2 * stuckMs);
  clearInterval(scribbling);
  await crew.finish();
  expect(crew.problems.join()).toContain("w0 is stuck for 1000 ms");
  expect(checkErrors(crew.steps()).join()).toContain("which is locked, has");
});

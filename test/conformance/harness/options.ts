/** The command line of run.ts. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Limit, limits } from "../limits.ts";
import type { Need } from "./case.ts";

export interface Options {
  directory: string;
  jobs: number;
  only: string | undefined;
  limits: readonly Limit[];
  without: readonly Need[];
  json: string | undefined;
}

export const USAGE = `bun test/conformance/run.ts DIR [options]
  --jobs N              worker processes (default: one per processor)
  --only SUBSTRING      only cases whose name has it
  --limits fuse         cases named in limits.ts must fail
  --expect-limits FILE  the same, with a module that exports \`limits: Limit[]\`
  --without suid,dev    leave out cases that need what the mount takes away
  --json FILE           write every verdict there
  --list                only print the names`;

function fail(reason: string): never {
  console.error(`${reason}\n\n${USAGE}`);
  process.exit(2);
}

async function limitsFor(name: string | undefined, file: string | undefined) {
  const found: Limit[] = [];
  if (name !== undefined) {
    const named = limits[name];
    if (named === undefined) fail(`limits.ts has no list "${name}"`);
    found.push(...named);
  }
  if (file !== undefined) {
    const module = (await import(resolve(file))) as { limits?: Limit[] };
    if (!Array.isArray(module.limits)) fail(`${file} exports no array \`limits\``);
    found.push(...module.limits);
  }
  return found;
}

function needs(text: string): Need[] {
  return text
    .split(",")
    .filter((word) => word !== "")
    .map((word) => {
      if (word !== "suid" && word !== "dev") fail(`--without knows suid and dev, not "${word}"`);
      return word;
    });
}

/** Reads the arguments; usage errors end the process with 2. `list` asks for names only. */
export async function readOptions(argv: string[]): Promise<Options & { list: boolean }> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const [directory, ...more] = positionals;
  if (directory === undefined && !values.list) fail("DIR is missing");
  if (more.length > 0) fail(`One DIR only, not also ${more.join(" ")}`);
  const jobs = values.jobs === undefined ? navigator.hardwareConcurrency : Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) fail("--jobs takes a number from 1 on");
  return {
    directory: resolve(directory ?? "."),
    jobs,
    only: values.only,
    limits: await limitsFor(values.limits, values["expect-limits"]),
    without: needs(values.without ?? ""),
    json: values.json,
    list: values.list ?? false,
  };
}

function parse(argv: string[]) {
  return parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      jobs: { type: "string" },
      only: { type: "string" },
      limits: { type: "string" },
      "expect-limits": { type: "string" },
      without: { type: "string" },
      json: { type: "string" },
      list: { type: "boolean" },
    },
  });
}

/** The parts that `scripts/test` runs, found by looking into test/. */
import { existsSync, globSync, readdirSync } from "node:fs";
import { byBunTest, byExitCode, byLastLine, type Tally } from "./test-tally.ts";

export interface Part {
  /** `group/rest`, as named on the command line. */
  name: string;
  command: string[];
  tally: Tally;
  timeoutMs: number;
  /** Whether it runs dist/qtfs. */
  needsBuild: boolean;
  /** Whether it takes minutes: it runs only where its folder or itself is named. */
  isLong?: boolean;
}

const minutes = (count: number) => count * 60_000;

/** Folders whose tests need a mount, one part per file; the others mirror src/, one part each. */
const MOUNTING = ["e2e", "fault", "peers"];
/** Folders of those whose parts take minutes, of which CI has none left. */
const LONG = ["e2e/offload/guests/"];
const BUN_TEST = ["node_modules/.bin/bun", "test", "--timeout", "60000"];

export const BUILD: Part = {
  name: "check/build",
  command: ["scripts/build"],
  tally: byExitCode,
  timeoutMs: minutes(3),
  needsBuild: false,
};

/** All parts but BUILD; quick verdicts first, then the long ones, so that no long one ends alone. */
export function allParts(): Part[] {
  return [...checks(), ...conformance(), ...MOUNTING.flatMap(mounting), ...unit()];
}

function checks(): Part[] {
  const check = (name: string, ...command: string[]): Part => {
    return { name, command, tally: byExitCode, timeoutMs: minutes(3), needsBuild: false };
  };
  return [
    check("check/types", "node_modules/.bin/tsc", "--noEmit"),
    check("check/lint", "node_modules/.bin/biome", "check", "."),
  ];
}

function conformance(): Part[] {
  const run = (where: string, directory: string, limits: string[]) => [
    ...["node_modules/.bin/bun", "test/conformance/run.ts", directory, ...limits],
    ...["--json", `.cache/test/conformance-${where}.json`],
  ];
  const common = { tally: byLastLine, timeoutMs: minutes(12) };
  // The cases open devices and run set-user-ID programs.
  const onMount = ["node_modules/.bin/bun", "test/e2e/support/on-mount.ts", "-o", "suid,dev"];
  return [
    {
      ...common,
      name: "conformance/mount",
      command: [...onMount, ...run("mount", "{}", ["--limits", "fuse"])],
      needsBuild: true,
    },
    {
      ...common,
      name: "conformance/disk",
      command: run("disk", "{TMPDIR}", []),
      needsBuild: false,
    },
  ];
}

function mounting(group: string): Part[] {
  return globSync(`test/${group}/**/*.test.ts`)
    .sort()
    .map((file) => ({
      name: file.slice("test/".length, -".test.ts".length),
      command: [...BUN_TEST, `./${file}`],
      tally: byBunTest,
      timeoutMs: minutes(8),
      needsBuild: true,
      isLong: LONG.some((folder) => file.startsWith(`test/${folder}`)),
    }));
}

function unit(): Part[] {
  const folders = readdirSync("test").filter(
    (folder) => ![...MOUNTING, "conformance"].includes(folder) && hasTests(`test/${folder}`),
  );
  return folders.sort().map((folder) => ({
    name: `unit/${folder}`,
    command: [...BUN_TEST, `./test/${folder}/`],
    tally: byBunTest,
    timeoutMs: minutes(5),
    needsBuild: false,
  }));
}

function hasTests(folder: string): boolean {
  return existsSync(folder) && globSync(`${folder}/**/*.test.ts`).length > 0;
}

/** What a worker does next, from its seed and what it has. */
import type { Random } from "../../support/random.ts";
import { FILE_MAX, homeOf, type Model, RING, ringPrefix } from "./model.ts";
import { LOCK_KINDS, type Operation } from "./record.ts";

const PAGE = 4096;
/** Few names, so that they are used again and again. */
const NAMES = 10;
const DEPTH_MAX = 3;
const APPEND_MAX = 3000;
const WRITE_MAX = 8192;
const SLOTS = 16;
const SLOTS_HELD_MAX = 3;
const MODES = [0o600, 0o644, 0o755, 0o400];

export interface Choices {
  worker: number;
  random: Random;
  model: Model;
  /** The slots that the worker holds. */
  held: ReadonlySet<number>;
  /** Names of operations left out. */
  without: ReadonlySet<string>;
  /** Writes stay within a page: the kernel may cut others there, and an error ends them halfway. */
  smallWrites: boolean;
}

type Name = Operation["op"];
type FileOperation = "write" | "map" | "append" | "truncate" | "chmod" | "read" | "status";

/** How often each is tried. */
const WEIGHTS: Record<Name, number> = {
  create: 10,
  write: 12,
  append: 12,
  map: 9,
  truncate: 4,
  chmod: 3,
  rename: 10,
  link: 6,
  symlink: 2,
  unlink: 8,
  mkdir: 4,
  rmdir: 3,
  read: 8,
  list: 6,
  status: 5,
  orphan: 3,
  close: 2,
  where: 3,
  log: 8,
  count: 8,
  hold: 4,
  verify: 4,
  drop: 3,
};
const LOTTERY = Object.entries(WEIGHTS).flatMap(([name, weight]) =>
  new Array<Name>(weight).fill(name as Name),
);

/** The next operation. `text` is what it writes if it writes. */
export function choose(choices: Choices, text: string): Operation {
  for (;;) {
    const name = choices.random.pick(LOTTERY);
    if (choices.without.has(name)) continue;
    const operation = make(name, choices, text);
    if (operation !== undefined) return operation;
  }
}

/** An operation of that name, or undefined where nothing there suits. */
function make(op: Name, choices: Choices, text: string): Operation | undefined {
  switch (op) {
    case "create":
    case "symlink":
    case "mkdir":
      return makeNew(op, choices, text);
    case "rename":
    case "link":
      return makeMoved(op, choices);
    case "unlink":
    case "rmdir":
      return makeRemoved(op, choices);
    case "write":
    case "map":
    case "append":
    case "truncate":
    case "chmod":
    case "read":
    case "status":
      return onFile(op, choices, text);
    case "list":
      return { op, path: pick(choices, [...directories(choices), RING]) ?? RING };
    case "orphan":
    case "close":
    case "where":
    case "log":
    case "verify":
      return { op };
    default:
      return onLock(op, choices);
  }
}

function pick<T>({ random }: Choices, from: readonly T[]): T | undefined {
  return from.length === 0 ? undefined : random.pick(from);
}

function directories({ model }: Choices): string[] {
  return model.paths("directory");
}

/** A name in one of the worker's directories or among its own of the common one; taken or not. */
function anyName(choices: Choices): string {
  const { worker, random } = choices;
  const parents = [...directories(choices).map((path) => `${path}/`), ringPrefix(worker)];
  return `${random.pick(parents)}n${random.below(NAMES)}`;
}

function freeName(choices: Choices): string | undefined {
  const path = anyName(choices);
  return choices.model.entries.has(path) ? undefined : path;
}

function makeNew(
  op: "create" | "symlink" | "mkdir",
  choices: Choices,
  text: string,
): Operation | undefined {
  const path = freeName(choices);
  if (path === undefined) return undefined;
  if (op === "create") return { op, path, mode: choices.random.pick(MODES) };
  if (op === "symlink") return { op, path, target: text };
  const isShallow = path.startsWith(`${homeOf(choices.worker)}/`) && depth(path) <= DEPTH_MAX;
  return isShallow ? { op, path } : undefined;
}

function depth(path: string): number {
  return path.split("/").length;
}

function makeMoved(op: "rename" | "link", choices: Choices): Operation | undefined {
  const { model, random, worker } = choices;
  const directory = op === "rename" && random.chance(0.2);
  const from = directory ? directories(choices).filter((path) => depth(path) > 1) : [];
  const path = pick(choices, directory ? from : model.paths("file"));
  const to = anyName(choices);
  const there = model.entries.get(to);
  if (path === undefined || path === to) return undefined;
  if (op === "link") return there === undefined ? { op, path, to } : undefined;
  if (!directory) return there?.type === "directory" ? undefined : { op, path, to };
  const isInside = to.startsWith(`${path}/`);
  const isDeep = depth(to) + 1 > DEPTH_MAX || !to.startsWith(`${homeOf(worker)}/`);
  return there !== undefined || isInside || isDeep ? undefined : { op, path, to };
}

function makeRemoved(op: "unlink" | "rmdir", choices: Choices): Operation | undefined {
  const { model } = choices;
  const candidates =
    op === "unlink"
      ? [...model.paths("file"), ...model.paths("symlink")]
      : directories(choices).filter((path) => depth(path) > 1 && model.list(path).length === 0);
  const path = pick(choices, candidates);
  return path === undefined ? undefined : { op, path };
}

function onFile(op: FileOperation, choices: Choices, text: string): Operation | undefined {
  const { model, random } = choices;
  const path = pick(choices, model.paths("file"));
  if (path === undefined) return undefined;
  const size = model.get(path).content.length;
  switch (op) {
    case "write": {
      const most = 1 + random.below(WRITE_MAX);
      const offset = random.below(Math.min(size + PAGE, FILE_MAX - most));
      return { op, path, offset, length: lengthAt(choices, offset, most), text };
    }
    case "append": {
      const length = lengthAt(choices, size, 1 + random.below(APPEND_MAX));
      return size + length > FILE_MAX ? undefined : { op, path, length, text };
    }
    case "map": {
      if (size === 0) return undefined;
      const offset = random.below(size);
      const length = 1 + random.below(Math.min(size - offset, WRITE_MAX));
      return { op, path, offset, length, text };
    }
    case "truncate":
      return { op, path, size: random.below(random.chance(0.5) ? size + 1 : FILE_MAX) };
    case "chmod":
      return { op, path, mode: random.pick(MODES) };
    default:
      return { op, path };
  }
}

function lengthAt({ smallWrites }: Choices, offset: number, most: number): number {
  return smallWrites ? Math.min(most, PAGE - (offset % PAGE)) : most;
}

function onLock(op: "count" | "hold" | "drop", choices: Choices): Operation | undefined {
  const { random, held } = choices;
  if (op === "count") return { op, lock: random.pick(LOCK_KINDS) };
  if (op === "drop") {
    const slot = pick(choices, [...held]);
    return slot === undefined ? undefined : { op, slot };
  }
  const slot = random.below(SLOTS);
  return held.has(slot) || held.size >= SLOTS_HELD_MAX ? undefined : { op, slot };
}

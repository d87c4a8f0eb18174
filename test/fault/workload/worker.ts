/**
 * One of the processes that use a mount while things break:
 *
 *   bun test/fault/workload/worker.ts ROOT LOG WORKER SEED --stop FILE
 *     [--without OP,OP…] [--patient] [--loses-orphans]
 *
 * It works below ROOT, which `prepareRoot` (crew.ts) made, until FILE exists, and
 * notes every operation in LOG. It ends with exit code 1 at the first error, unless
 * it is patient: then it waits until the mount answers, and finds out what happened.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { errnoName, PosixError } from "../../conformance/posix/failure.ts";
import { chdir, dieWithParent, pause, umask } from "../../conformance/posix/index.ts";
import { random } from "../../support/random.ts";
import { choose } from "./choose.ts";
import { OpenFiles } from "./files.ts";
import { homeOf, Model } from "./model.ts";
import { change, look } from "./perform.ts";
import {
  type Change,
  LOOKS,
  type Look,
  type Operation,
  Recorder,
  SHARED,
  type Shared,
} from "./record.ts";
import { probe, whetherHappened } from "./resolve.ts";
import { Mismatch, SharedFiles } from "./shared.ts";

const PAUSE_MAX_MS = 2;
const RETRY_MS = 50;
const SETTLED_MS = 300;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stop: { type: "string", default: "" },
    without: { type: "string", default: "" },
    patient: { type: "boolean", default: false },
    "loses-orphans": { type: "boolean", default: false },
  },
});
const [root = "", log = "", which = "", seed = ""] = positionals;
const worker = Number(which);
const { patient } = values;
const chance = random(Number(seed));
const place = {
  worker,
  root,
  model: Model.of(worker),
  files: new OpenFiles(root),
  losesOrphans: values["loses-orphans"],
  readsInParts: patient,
};
const shared = new SharedFiles(root, worker, chance);
const recorder = new Recorder(log);
const without = new Set(values.without.split(","));
let number = 0;

dieWithParent();
umask(0);
chdir(`${root}/${homeOf(worker)}`);
while (!existsSync(values.stop)) {
  const held = new Set(shared.held.keys());
  const text = `w${worker}.${number + 1};`;
  const { model } = place;
  attempt(choose({ worker, random: chance, model, held, without, smallWrites: patient }, text));
  if (chance.chance(0.5)) pause(chance.below(PAUSE_MAX_MS + 1));
}
for (const slot of [...shared.held.keys()]) attempt({ op: "drop", slot });
process.exit(0);

/** Notes an operation, does it, and notes how it went. */
function attempt(operation: Operation): void {
  number = recorder.intend(operation);
  try {
    const value = perform(operation);
    recorder.conclude(number, value === undefined ? {} : { value });
  } catch (error) {
    recorder.conclude(number, failure(error));
    if (!patient || error instanceof Mismatch) process.exit(1);
    if (!isShared(operation) && !isLook(operation)) findOut(operation);
  }
}

function perform(operation: Operation): number | boolean | undefined {
  if (isShared(operation)) return shared.perform(operation, number);
  if (isLook(operation)) look(place, operation);
  else change(place, operation);
  return undefined;
}

function isShared(operation: Operation): operation is Shared {
  return SHARED.has(operation.op);
}

function isLook(operation: Operation): operation is Look {
  return LOOKS.has(operation.op);
}

function failure(error: unknown): { error: string; text: string } {
  const text = (error as Error).message;
  if (error instanceof PosixError) return { error: errnoName(error.errno), text };
  return { error: error instanceof Mismatch ? "mismatch" : "fault", text };
}

/** Waits until the mount answers, and has the model follow what is there. */
function findOut(operation: Change): void {
  for (;;) {
    pause(RETRY_MS);
    try {
      probe(root, worker);
      // The kernel is told by another thread what became of what it was told has failed.
      pause(SETTLED_MS);
      const happened = whetherHappened(place, operation);
      if (happened) place.model.apply(operation);
      recorder.conclude(number, { happened });
      return;
    } catch (error) {
      if (!(error instanceof Mismatch)) continue;
      recorder.conclude(number, failure(error));
      process.exit(1);
    }
  }
}

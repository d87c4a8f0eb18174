/** Several processes that want the same name: exactly one gets it. */
import type { Actor } from "../harness/actor-client.ts";
import { area, type Run } from "../harness/case.ts";
import type { Context } from "../harness/context.ts";
import { equal } from "../harness/expect.ts";
import { put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";
import type { Attempt, Outcome } from "../programs/races.ts";

const NAMES = 120;
const PROCESSES = 4;

function crowd(context: Context, size = PROCESSES): Promise<Actor[]> {
  return Promise.all(Array.from({ length: size }, () => context.peer()));
}

/** What all of them together got. */
function together(outcomes: Outcome[]): Outcome {
  const sum: Outcome = {};
  for (const outcome of outcomes) {
    for (const [answer, times] of Object.entries(outcome)) sum[answer] = (sum[answer] ?? 0) + times;
  }
  return sum;
}

/** All try all names; each name is got once, the others are told `refusal`. */
function once(kind: Attempt, refusal: string, prepare: (name: string) => void): Run {
  return async (context) => {
    put("source");
    p.mkdir("d");
    put("d/source");
    for (let index = 0; index < NAMES; index++) prepare(`d/n${index}`);
    const actors = await crowd(context);
    const outcomes = await Promise.all(
      actors.map((actor, index) => actor.race(kind, "d", NAMES, index)),
    );
    const expected = { done: NAMES, [refusal]: NAMES * (PROCESSES - 1) };
    equal(together(outcomes), expected, "answers of all processes");
  };
}

export const cases = area("race", {
  "create-exclusively": once("create", "EEXIST", () => {}),
  mkdir: once("mkdir", "EEXIST", () => {}),
  symlink: once("symlink", "EEXIST", () => {}),
  link: once("link", "EEXIST", () => {}),
  unlink: once("unlink", "ENOENT", (name) => put(name)),
  rmdir: once("rmdir", "ENOENT", (name) => p.mkdir(name)),
  "rename-away": once("rename-away", "ENOENT", (name) => put(name)),
  "links-are-counted": async (context) => {
    p.mkdir("d");
    put("d/source");
    const actors = await crowd(context);
    await Promise.all(actors.map((actor, index) => actor.race("link", "d", NAMES, index)));
    equal(p.stat("d/source").nlink, NAMES + 1, "links");
    await Promise.all(actors.map((actor, index) => actor.race("unlink", "d", NAMES, index)));
    equal(p.stat("d/source").nlink, 1, "links left");
  },
  "who-looks-takes-no-link-away": async (context) => {
    p.mkdir("d");
    put("d/f");
    const actors = await crowd(context, 3);
    const [linker, ...lookers] = actors;
    const looking = lookers.map((actor) => actor.look("d", 500));
    await linker?.relink("d", 500);
    await Promise.all(looking);
    equal(p.list("d"), ["f"], "names");
    equal(p.stat("d/f").nlink, 1, "links");
  },
  "directories-are-counted": async (context) => {
    p.mkdir("d");
    const actors = await crowd(context);
    await Promise.all(actors.map((actor, index) => actor.race("mkdir", "d", NAMES, index)));
    equal(p.stat("d").nlink, NAMES + 2, "links of the parent");
    await Promise.all(actors.map((actor, index) => actor.race("rmdir", "d", NAMES, index)));
    equal(p.stat("d").nlink, 2, "links left");
  },
  "create-and-remove-in-turn": async (context) => {
    p.mkdir("d");
    const actors = await crowd(context);
    await Promise.all(actors.map((actor, index) => actor.churn("d", `p${index}-`, 200)));
    equal(p.list("d"), [], "entries left");
    p.rmdir("d");
  },
  "makers-fill-one-directory": async (context) => {
    p.mkdir("d");
    const actors = await crowd(context);
    await Promise.all(actors.map((actor, index) => actor.makeFiles("d", `p${index}-`, 0, 250)));
    equal(p.list("d").length, PROCESSES * 250, "entries");
  },
});

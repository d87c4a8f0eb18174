/** The first socket of a mount, connected to while others change its directory. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";
import { answered, compileMeet, Meeting, said } from "./stage.ts";

/** Between two changes; the twin process starts meanwhile. */
const STEP_MS = 10;
const DIRECTORIES = 8;

const share = await mountTree();
afterAll(() => share.close());
const { bare, mountpoint, tree } = share;
const meet = await compileMeet(bare);
let server: Meeting | undefined;
afterEach(() => server?.end());

test("is served though somebody waits to change the root", async () => {
  server = await Meeting.up([meet, "serve", `${tree}/first`, "stream"]);
  const called = said([meet, "call", `${mountpoint}/first`, "stream"]);
  // Each waits for the lookup, and further lookups for it.
  const made = Array.from({ length: DIRECTORIES }, async (_, i) => {
    await Bun.sleep(STEP_MS * (i + 1));
    await sh(`timeout -s KILL 20 mkdir ${mountpoint}/made${i}`);
  });
  expect(await called).toBe(answered(`${tree}/first`));
  await Promise.all(made);
});

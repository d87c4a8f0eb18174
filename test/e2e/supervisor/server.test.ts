/** Calls under a supervisor while the HOST's server dies and comes back. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Stage } from "./stage.ts";

const TMPFS = "1021994";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

test("what was mounted stays, and calls go on", async () => {
  const at = stage.directory("a");
  const script = `
    ${stage.program} mount none ${at}/a tmpfs 0 -
    echo mounted; read -r word
    ${stage.program} statfs ${at}/a
    ${stage.program} umount ${at}/a 0`;
  const program = stage.dpu.spawn(stage.under(["bash", "-c", script]));
  await program.prints("mounted");
  await stage.machines.restartServer();
  program.say("go\n");
  expect((await program.output()).trim().split("\n")).toEqual(["0", "mounted", TMPFS, "0"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("each call is made once while the server dies again and again", async () => {
  const [rounds, deaths] = [15, 4];
  const at = stage.directory("a");
  const script = `
    for i in $(seq ${rounds}); do
      ${stage.program} mount none ${at}/a tmpfs 0 -
      ${stage.program} umount ${at}/a 0
    done
    echo done
    ${stage.program} umount ${at}/a 0`;
  const program = stage.dpu.spawn(stage.under(["bash", "-c", script]));
  for (let i = 0; i < deaths && !program.hasEnded; i++) {
    await program.prints(new RegExp(`(0\\n){${2 * i + 1}}`));
    await stage.machines.restartServer();
  }
  const printed = (await program.output(60_000)).trim().split("\n");
  expect(printed).toEqual([...Array<string>(2 * rounds).fill("0"), "done", "EINVAL"]);
  expect(await stage.onHost(at)).toEqual({});
});

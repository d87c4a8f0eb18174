/** Symbolic links of a HOST that is not trusted (-o symlinks=contain). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { mountTree, type Share } from "./support/mount.ts";
import { run } from "./support/run.ts";

/** By what they say: what reading through them gives. */
const LINKS: Record<string, string | undefined> = {
  target: "inside",
  "./below/target": "inside",
  "below/deeper": "inside",
  "/etc/hostname": undefined,
  "../outside": undefined,
  "below/../target": undefined,
  "below/up/target": undefined,
  "up/outside": undefined,
};

let share: Share;
beforeAll(async () => {
  share = await mountTree({ options: ["symlinks=contain"] });
  const { tree } = share;
  mkdirSync(`${tree}/below`);
  writeFileSync(`${tree}/target`, "inside");
  writeFileSync(`${tree}/below/target`, "inside");
  symlinkSync("target", `${tree}/below/deeper`);
  symlinkSync("..", `${tree}/below/up`);
  symlinkSync("..", `${tree}/up`);
  // Beside the tree and beside the mount: what a link that goes up would reach.
  writeFileSync(`${tree}/../outside`, "outside");
  for (const [i, text] of Object.keys(LINKS).entries()) symlinkSync(text, `${tree}/link${i}`);
});
afterAll(() => share?.close());

const read = (path: string) => run(["cat", `${share.mountpoint}/${path}`], { timeoutMs: 20_000 });

test.each(Object.entries(LINKS).map(([text, found], i) => [text, found, i] as const))(
  "a link to %s",
  async (_, found, i) => {
    const { code, stdout, stderr } = await read(`link${i}`);
    if (found !== undefined) expect({ code, stdout }).toEqual({ code: 0, stdout: found });
    else {
      expect(stdout).toBe("");
      expect(stderr).toContain("Permission denied");
    }
  },
);

test("they are listed, renamed and removed as others", async () => {
  const { mountpoint } = share;
  const script = `cd ${mountpoint} && mv up moved && ls -1 && rm moved && test ! -L moved`;
  const { code, stdout } = await run(["sh", "-c", script]);
  expect(code).toBe(0);
  expect(stdout).toContain("moved");
});

test("without the option they lead where they say", async () => {
  await share.umount();
  await share.mount([]);
  expect((await read("link4")).stdout).toBe("outside");
  expect((await read("link5")).stdout).toBe("inside");
});

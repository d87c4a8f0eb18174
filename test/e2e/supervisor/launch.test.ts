/** How programs are started under a supervisor. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { QTFS } from "../support/server.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

test("a program is given what it would be given without", async () => {
  const script = `
    ls /proc/self/fd
    grep -E '^(Sig[PBIC]|Cap|NoNew|Groups|Umask|Uid)' /proc/self/status
    ulimit -a; ulimit -n; pwd; env | grep -v ^_= | sort
    printf '%s|' "$0" "$@" | od -c
    nice; cat /proc/self/oom_score_adj; exec 1>&-; exit 7`;
  const words = ["bash", "-c", script, "näme", "a b", "", "--", "-x"];
  const options = { cwd: "/tmp", env: { QTFS_TEST: "ü=" } };
  const without = await stage.dpu.run(words, options);
  const { code, stdout } = await stage.dpu.run(stage.under(words), options);
  expect(stdout).toBe(without.stdout);
  expect([code, without.code]).toEqual([7, 7]);
});

test("its process is the one that was started, and its supervisor nobody's child", async () => {
  const script = `echo $$; cat /proc/$$/task/*/children; echo; ps -o pid= -C qtfs-supervisor`;
  const words = stage.under(["bash", "-c", script]).map((word) => `'${word}'`);
  const [started, own, children, supervisor] = (
    await stage.dpu.sh(`sh -c "echo \\$\\$; exec \\"\\$@\\"" sh ${words.join(" ")}`)
  ).split("\n");
  expect(own).toBe(started as string);
  expect(children?.trim().split(" ")).not.toContain(supervisor?.trim());
  expect(supervisor).toMatch(/^ *\d+$/);
});

test("what cannot be is said", async () => {
  const said = async (words: string[], uid?: number) => {
    const { code, stderr } = await stage.dpu.run(words, uid === undefined ? {} : { uid });
    expect(code).toBe(125);
    return stderr;
  };
  const supervise = [QTFS, "supervise"];
  expect(await said([...supervise, "--", "no-such-program"])).toContain("not found");
  expect(await said([...supervise, "--", "/etc/passwd"])).toContain("Permission denied");
  expect(await said([...supervise, "--", "true"], 65_534)).toContain("Only root");
  expect(await said(supervise)).toContain("say what to run");
  expect(await said([...supervise, "--log-level=loud", "--", "true"])).toContain("log-level");
  expect(await said(stage.under([QTFS, "supervise", "--", "true"]))).toContain("already");
});

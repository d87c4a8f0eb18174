/** Magic links of the HOST's processes through the mount: their text, and where they lead. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../mounts/caller.ts";
import { ProcStage } from "./stage.ts";

const BOUND_MS = 60_000;
const NOBODY = 65534;
let stage: ProcStage;
/** The HOST's process host-marker, seen from the chroot. */
let marker: string;

beforeAll(async () => {
  stage = await ProcStage.start();
  marker = `/proc/${stage.marker}`;
});
afterAll(async () => {
  await stage.close();
});

test("readlink tells the text of links, and what is listed with them", async () => {
  const names = ["root", "cwd", "exe", "fd/7"].map((name) => `${marker}/${name}`);
  const texts = await stage.lines(`readlink ${names.join(" ")}`);
  expect(texts).toEqual(["/", "/opt", "/usr/bin/sleep", "/opt/who"]);
  const listing = await stage.lines(`ls -l ${marker}/fd`);
  expect(listing.some((line) => line.endsWith(" 7 -> /opt/who"))).toBe(true);
  const namespace = `readlink ${marker}/ns/net ${marker}/task/${stage.marker}/ns/pid`;
  const [net, pid] = await stage.lines(namespace);
  expect(net).toMatch(/^net:\[\d+\]$/);
  expect(pid).toBe((await stage.onHost(`readlink ${marker}/ns/pid`)).trim());
  expect(await stage.lines(`realpath ${marker}/cwd`)).toEqual(["/opt"]);
});

test("whoever follows them is on the HOST", async () => {
  const paths = ["root/opt/who", "cwd/who", "fd/7", `task/${stage.marker}/cwd/who`];
  for (const path of paths) {
    expect([path, ...(await stage.lines(`cat ${marker}/${path}`))]).toEqual([
      path,
      "from the HOST",
    ]);
  }
  expect(await stage.lines(`ls ${marker}/cwd/`)).toEqual(["who"]);
  const written = "echo written there >new; cat new; mv new newer; rm newer; ls";
  expect(await stage.lines(`cd ${marker}/cwd/; ${written}`)).toEqual(["written there", "who"]);
  expect(await stage.lines(`${marker}/exe 0 && echo ran`)).toEqual(["ran"]);
  const [here, there] = await stage.lines(`stat -Lc %i ${marker}/ns/net ${marker}/ns/net`);
  expect(here).toBe(there as string);
});

test("a link below a followed one has its own text", async () => {
  const link = `${marker}/root/etc/mtab`;
  const [read, listed] = await stage.lines(`readlink ${link}; ls -l ${link}`);
  const text = (await stage.onHost("readlink /etc/mtab")).trim();
  expect(read).toBe(text);
  expect(listed?.endsWith(` -> ${text}`)).toBe(true);
});

test("where a link leads is asked each time", async () => {
  const moves = "until [ -e /opt/move ]; do sleep 0.05; done; cd second; touch moved; sleep inf";
  await stage.onHost(`mkdir /opt/second; echo another >/opt/second/who
    bash -c 'cd /opt; echo $$ >${stage.directory}/mover; ${moves}' >/dev/null 2>&1 &
    until [ -s ${stage.directory}/mover ]; do sleep 0.05; done`);
  const mover = (await stage.onHost(`cat ${stage.directory}/mover`)).trim();
  expect(await stage.lines(`cat /proc/${mover}/cwd/who`)).toEqual(["from the HOST"]);
  await stage.onHost("touch /opt/move; until [ -e /opt/second/moved ]; do sleep 0.05; done");
  expect(await stage.lines(`cat /proc/${mover}/cwd/who`)).toEqual(["another"]);
});

test("an ordinary user neither reads nor follows what is not its own", async () => {
  const read = await stage.inside(`readlink ${marker}/exe`, NOBODY);
  expect([read.code, read.stdout]).toEqual([1, ""]);
  const followed = await stage.inside(`cat ${marker}/root/etc/passwd`, NOBODY);
  expect(followed.stdout).toBe("");
  expect(followed.stderr).toContain("Permission denied");
});

test("a pipe of the HOST's is refused at once", async () => {
  const { code, stderr } = await stage.inside(`cat ${marker}/fd/8`);
  expect(code).not.toBe(0);
  expect(stderr).toContain("No such device or address");
});

test("a directory behind a link stays one's own when the server or the mount's process dies", async () => {
  const script = `
    cd ${marker}/root/opt; exec 9<who
    echo ready; read -r
    cat <&9; cat who; ls ../opt | grep -c who; echo ready; read -r
    cat who; cat ${marker}/cwd/who`;
  const child = Bun.spawn(stage.commandInside(script), { stdin: "pipe", stdout: "pipe" });
  let output = "";
  const reading = (async () => {
    for await (const part of child.stdout) output += new TextDecoder().decode(part);
  })();
  await eventually(() => output === "ready\n", "it is there", BOUND_MS);
  await stage.killServer();
  child.stdin.write("\n");
  child.stdin.flush();
  const after = "ready\nfrom the HOST\nfrom the HOST\n1\nready\n";
  await eventually(() => output === after, "it goes on", BOUND_MS);
  process.kill(await stage.daemon(), "SIGKILL");
  child.stdin.write("\n");
  child.stdin.end();
  await child.exited;
  await reading;
  expect(output).toBe(`${after}from the HOST\nfrom the HOST\n`);
});

test("the way goes on from link to link, through any process at once", async () => {
  const deep = `${marker}/root/proc/${stage.marker}/root/proc/1/root/opt/who`;
  const walk = (pid: number | string) => `
    for i in $(seq 200); do read -r line </proc/${pid}/root/opt/who; done & pids="$pids $!"`;
  const script = `pids=; ${walk(1)} ${walk(stage.marker)} ${walk(1)} ${walk(stage.marker)}
    for pid in $pids; do wait $pid; done; cat ${deep}`;
  expect(await stage.lines(script)).toEqual(["from the HOST"]);
});

test("the HOST's /proc is the same as a part of all its files", async () => {
  const whole = await ProcStage.start({ exported: "/", options: [] });
  try {
    // Where the chroot has its /proc, all of the HOST is.
    const isApart = "grep -q ' /proc/proc ' /local_proc/self/mountinfo";
    await whole.lines(`until ${isApart}; do sleep 0.05; done`);
    const link = `/proc/proc/${whole.marker}/cwd`;
    expect(await whole.lines(`cat ${link}/who; readlink ${link}`)).toEqual([
      "from the HOST",
      "/opt",
    ]);
  } finally {
    await whole.close();
  }
});

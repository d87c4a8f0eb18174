/** `rexec -t`, as a user sees it: a terminal of tmux's here, one of the program's there. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../support/program.ts";
import { run, Stage } from "./stage.ts";

let stage: Stage;
let tmux: string[];
let count = 0;

beforeAll(async () => {
  stage = await Stage.begin();
});
afterAll(async () => {
  await stage.end();
});

/** A shell here, in which users type. */
beforeEach(async () => {
  tmux = ["tmux", "-L", `rexec-${process.pid}-${++count}`, "-f", "/dev/null"];
  const env = { ...(process.env as Record<string, string>), PS1: "here$ ", LC_ALL: "C" };
  const shell = ["env", "PS1=here$ ", "bash", "--norc", "--noprofile"];
  const size = ["-x", "100", "-y", "30"];
  const { stderr, code } = await run([...tmux, "new-session", "-d", ...size, ...shell], { env });
  if (code !== 0) throw new Error(stderr);
  await shows("here$");
});
afterEach(async () => {
  await run([...tmux, "kill-server"]);
});

async function screen(): Promise<string> {
  const { stdout } = await run([...tmux, "capture-pane", "-p"]);
  return stdout;
}

async function shows(text: string | RegExp): Promise<void> {
  let seen = "";
  const isThere = async () => {
    seen = await screen();
    return typeof text === "string" ? seen.includes(text) : text.test(seen);
  };
  await until(isThere, () => `${text} in:\n${seen}`);
}

async function type(text: string, ...keys: string[]): Promise<void> {
  if (text !== "") await run([...tmux, "send-keys", "-l", text]);
  if (keys.length > 0) await run([...tmux, "send-keys", ...keys]);
}

/** Types a line; what it prints is to be told from what is typed. */
const line = (text: string) => type(text, "Enter");

async function shellThere(): Promise<void> {
  await line(`${stage.rexec.join(" ")} -t env PS1='there> ' bash --norc --noprofile`);
  await shows(/^there>/m);
}

test("it is a terminal, of the same size, and hears when that changes", async () => {
  await shellThere();
  await line("tty; stty size | sed s/^/size:/");
  await shows("/dev/pts/");
  await shows("size:30 100");
  await line("trap 'echo resized' WINCH; echo trapped$((1 + 1))");
  await shows(/^trapped2\nthere>/m);
  await run([...tmux, "resize-window", "-x", "80", "-y", "20"]);
  const isSmaller = async () => {
    await line("stty size | sed s/^/now:/");
    return (await screen()).includes("now:20 80");
  };
  await until(isSmaller, () => "the new size");
  // The shell runs what it has trapped with its next command at the latest.
  await line("");
  await shows(/^(there> *)?resized/m);
});

test("keys interrupt, stop and end programs there; the terminal here is as it was", async () => {
  await line("stty -a > /tmp/before.$$");
  await shellThere();
  // What tells that it is there is in the foreground already.
  await line("sh -c 'echo sleeps$((1 + 1)); exec sleep 1000'");
  await shows(/^sleeps2/m);
  await type("", "C-c");
  await line("echo $((100 + 30))");
  await shows(/^130/m);
  await line("sh -c 'echo slept$((1 + 1)); exec sleep 1001'");
  await shows(/^slept2/m);
  await type("", "C-z");
  await shows(/Stopped +sh -c/);
  await line("bg; jobs");
  await shows(/Running +sh -c/);
  await line("kill %1; wait; sh -c 'echo in$((1 + 1)); exec cat'; echo out$((2 + 2))");
  await shows(/^in2/m);
  await line("typed");
  await shows(/^typed\n(.*\n)*typed$/m);
  await type("", "C-d");
  await shows(/^out4/m);
  await line("exit 5");
  await shows(/^exit\n(.*\n)*here\$/m);
  await line("echo code:$?");
  await shows("code:5");
  await line("stty -a | cmp - /tmp/before.$$ && echo same; rm /tmp/before.$$");
  await shows(/^same/m);
});

test("programs that use the whole screen", async () => {
  await line(`${stage.rexec.join(" ")} -t top -d 1`);
  await shows(/%Cpu|Tasks:/);
  await type("q");
  // What is typed before that goes to who reads the terminal still, and is lost.
  await shows(/^here\$$/m);
  await line("echo and back $((40 + 2))");
  await shows("and back 42");
});

test("colours, and keys of several bytes", async () => {
  await line(`${stage.rexec.join(" ")} -t htop`);
  await shows(/F10 *Quit/);
  const { stdout } = await run([...tmux, "capture-pane", "-p", "-e"]);
  expect(stdout).toContain("\x1b[3");
  await type("", "F1");
  await shows(/show this help screen/);
  await type("x");
  await shows(/F10 *Quit/);
  await type("", "F10");
  await shows(/^here\$$/m);
});

test("a program that stops itself leaves the shell here, and comes back", async () => {
  await line(`${stage.rexec.join(" ")} -t top -d 1`);
  await shows(/%Cpu|Tasks:/);
  await type("", "C-z");
  await shows(/Stopped.*rexec/);
  await line("clear; echo between $((40 + 3)); stty | head -c 0; fg");
  await shows(/%Cpu|Tasks:/);
  await type("q");
  await shows(/^here\$$/m);
});

test("an editor writes a file there", async () => {
  const file = `${stage.directory}/edited`;
  await line(`${stage.rexec.join(" ")} -t vim -u NONE -N ${file}`);
  await shows(/^~$/m);
  await type("iwords typed here");
  await shows("words typed here");
  // Escape, and what follows it, is one key to vim if it comes at once.
  await type("", "Escape");
  await type(":wq", "Enter");
  await shows(/^here\$$/m);
  expect(readFileSync(file, "utf8")).toBe("words typed here\n");
});

test("rexec that is killed ends what is in its terminal", async () => {
  await shellThere();
  await line("echo pid:$$:");
  await shows(/^pid:\d+:/m);
  const pid = Number(/^pid:(\d+):/m.exec(await screen())?.[1]);
  const clients = await run(["pgrep", "-f", `${stage.address} -t env`]);
  for (const client of clients.stdout.trim().split("\n")) process.kill(Number(client), "SIGKILL");
  await until(
    () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    },
    () => `the end of ${pid}`,
  );
});

test("without a terminal here there is none there", async () => {
  const { code, stderr } = await run([...stage.rexec, "-t", "true"]);
  expect([code, stderr]).toEqual([125, "rexec: -t needs a terminal as standard input\n"]);
});

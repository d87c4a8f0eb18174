/** Rules of a rexec-server: who runs what, as whom, with what; over a unix socket and over TCP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { WITHOUT_OTHERS } from "../support/apart.ts";
import { until } from "../support/program.ts";
import { QTFS, run, Stage } from "./stage.ts";

/** The user of rules, and one that may connect. */
const SERVICE = 4710;
const CALLER = 4711;

/** What only root can change: programs are known by their paths there. */
const tools = mkdtempSync("/var/lib/qtfs-tools-");
const config = `${tools}/rexec.toml`;

/** Of version 1 where there is one, and of version 2. */
const hierarchies = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"].filter(
  (path) => existsSync(`${path}/cgroup.procs`),
);
const group = `qtfs-policy-${process.pid}`;

function script(name: string, text: string, mode = 0o755): void {
  writeFileSync(`${tools}/${name}`, text);
  chmodSync(`${tools}/${name}`, mode);
}

const RULES = `
cgroup_parent = ${JSON.stringify(hierarchies.slice(0, 2).map((one) => `${one}/${group}`))}

[[allow]]
name = "whoami"
users = [${CALLER}, 0]
program = "/usr/bin/id"
args = []
as = ${SERVICE}
group = 4712
groups = [4713]

[[allow]]
name = "env"
users = [${CALLER}, 0]
program = "/usr/bin/env"
as = ${SERVICE}
group = 4712
env_pass = ["LC_*", "KEPT", "L*", "B*"]
env_set = { MADE = "here", KEPT2 = "x=y" }
cwd = "/usr/lib"

[[allow]]
name = "own"
users = [${CALLER}]
program = "/usr/bin/whoami*"

[[allow]]
name = "shell"
users = [0]
program = "*/dash"
args = ["-c", "*", "..."]
max = 2
limits = { nofile = "100:200", core = 0, cpu = 77, as = "3G" }
${hierarchies.length > 0 ? 'cgroup = "inner"' : ""}

[[allow]]
name = "slow"
users = [0]
program = "*/sleep"
timeout_s = 0.3

[[allow]]
name = "tools"
program = "${tools}/*"
as = ${SERVICE}
group = 4712

[[allow]]
name = "strangers"
users = []
tcp = true
program = "/usr/bin/id"
as = ${SERVICE}
group = 4712

[[allow]]
name = "secret"
users = []
tcp = true
program = "${tools}/inner/*"
as = ${SERVICE}
group = 4712
`;

let unix: Stage;
let tcp: Stage;
const ADDRESS = "tcp://127.0.0.1:47114";

beforeAll(async () => {
  chmodSync(tools, 0o755);
  writeFileSync(config, RULES);
  script("named", '#!/bin/sh\necho "$0" "$@"\n');
  script("plain", 'echo "plain $0 $1"\n');
  [unix, tcp] = await Promise.all([
    Stage.begin(["--config", config]),
    Stage.begin(["--config", config, "--insecure"], ADDRESS),
  ]);
  chmodSync(unix.directory, 0o755);
});

afterAll(async () => {
  await Promise.all([unix.end(), tcp.end()]);
  rmSync(tools, { recursive: true, force: true });
  for (const parent of hierarchies) {
    for (const one of [`${parent}/${group}/inner`, `${parent}/${group}`]) {
      if (existsSync(one)) rmdirSync(one);
    }
  }
});

const ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** What comes of `words` over there, for the user of that number. */
async function as(uid: number, stage: Stage, words: string[], env: Record<string, string> = {}) {
  const ids = ["--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"];
  const command = [...stage.rexec, ...words];
  const { stdout, stderr, code } = await run(
    uid === 0 ? command : ["setpriv", ...ids, ...command],
    {
      env: { ...ENV, ...env },
      cwd: "/",
    },
  );
  return { code, output: stdout + stderr };
}

const DENIED = 126;

describe("as whom", () => {
  test.each([CALLER, 0])("user %d becomes the rule's user altogether", async (uid) => {
    const { code, output } = await as(uid, unix, ["id"]);
    expect([code, output]).toEqual([0, `uid=${SERVICE} gid=4712 groups=4712,4713\n`]);
    expect(unix.log).toContain(`id as uid ${SERVICE} for uid ${uid}, pid `);
    expect(unix.log).toMatch(/ by rule whoami$/m);
  });

  test("a rule without as: as himself", async () => {
    const { output } = await as(CALLER, unix, ["whoami"]);
    expect(output).toBe(`whoami: cannot find name for user ID ${CALLER}\n`);
  });

  test("a rule's program is looked for as its user", async () => {
    mkdirSync(`${tools}/inner`);
    writeFileSync(`${tools}/inner/tool`, "#!/bin/sh\necho inner\n");
    chmodSync(`${tools}/inner/tool`, 0o755);
    chownSync(`${tools}/inner`, SERVICE, 0);
    chmodSync(`${tools}/inner`, 0o700);
    expect(await as(CALLER, unix, [`${tools}/inner/tool`])).toEqual({ code: 0, output: "inner\n" });
    // What is not there for the caller is not there, whoever else could see it.
    const hidden = await as(CALLER, unix, ["/root/nothing-of-this-name"]);
    expect(hidden.code).toBeGreaterThanOrEqual(DENIED);
  });
});

describe("what", () => {
  test("other programs, users and arguments are denied by a sentence and 126", async () => {
    const denials: [uid: number, words: string[], sentence: string][] = [
      [CALLER, ["cat"], "rexec: cat: the rexec-server does not allow /usr/bin/cat\n"],
      [
        CALLER,
        ["dash", "-c", "id"],
        "rexec: dash: the rexec-server does not allow /usr/bin/dash\n",
      ],
      [
        CALLER,
        ["id", "-u"],
        "rexec: id: the rexec-server does not allow /usr/bin/id with these arguments\n",
      ],
      [
        0,
        ["dash", "-x"],
        "rexec: dash: the rexec-server does not allow /usr/bin/dash with these arguments\n",
      ],
    ];
    for (const [uid, words, sentence] of denials) {
      expect(await as(uid, unix, words)).toEqual({ code: DENIED, output: sentence });
    }
    expect(unix.log).toContain(`Refused cat as uid ${CALLER} for uid ${CALLER}, pid `);
  });

  test("the denials of one who asks on and on fill no log", async () => {
    const before = unix.log.split("Refused ").length;
    const one = () => as(0, unix, ["cat"]);
    await Promise.all(Array.from({ length: 40 }, one));
    expect(unix.log.split("Refused ").length - before).toBeLessThan(40);
    await until(
      async () => {
        await one();
        return /\d+ more of such lines were left out before/.test(unix.log);
      },
      () => "a line that tells of those left out",
    );
  });

  test("a link is what it leads to", async () => {
    symlinkSync("/usr/bin/cat", `${unix.directory}/id`);
    const denied = await as(0, unix, [`${unix.directory}/id`]);
    expect(denied.output).toContain("does not allow /usr/bin/cat\n");
    symlinkSync(`${tools}/named`, `${unix.directory}/other`);
    expect((await as(0, unix, [`${unix.directory}/other`])).output).toBe(`${tools}/named\n`);
  });

  test("the same path in somebody's own mounts is not that path", async () => {
    const cover = `mount --bind /usr/bin/cat /usr/bin/id; echo $$; exec cat`;
    const apart = ["unshare", "--mount", "--propagation", "private", ...WITHOUT_OTHERS];
    const command = [...apart, "sh", "-c", cover];
    const child = Bun.spawn(command, { stdio: ["pipe", "pipe", "inherit"], timeout: 30_000 });
    const { value } = await child.stdout.getReader().read();
    const pid = Number(Buffer.from(value ?? []).toString());
    const { code, output } = await as(0, unix, [`/proc/${pid}/root/usr/bin/id`]);
    child.stdin.end();
    await child.exited;
    expect([code, output]).toEqual([
      DENIED,
      `rexec: /proc/${pid}/root/usr/bin/id: the rexec-server does not allow this\n`,
    ]);
  });

  test("scripts and shell scripts where only root can change what has their name", async () => {
    const named = await as(CALLER, unix, [`${tools}/named`, "a b"]);
    expect(named.output).toBe(`${tools}/named a b\n`);
    const plain = await as(CALLER, unix, [`${tools}/plain`, "c"]);
    expect(plain.output).toBe(`plain ${tools}/plain c\n`);
  });

  test("and by their descriptors where others can", async () => {
    const open = `${tools}/open`;
    mkdirSync(open);
    chmodSync(open, 0o777);
    for (const name of ["named", "plain"]) {
      writeFileSync(`${open}/${name}`, readFileSync(`${tools}/${name}`));
      chmodSync(`${open}/${name}`, 0o755);
    }
    writeFileSync(`${open}/binary`, readFileSync("/usr/bin/echo"));
    chmodSync(`${open}/binary`, 0o755);
    const named = await as(CALLER, unix, [`${open}/named`, "a"]);
    expect(named.output).toMatch(/^\/dev\/fd\/\d+ a\n$/);
    const plain = await as(CALLER, unix, [`${open}/plain`, "b"]);
    expect(plain.output).toMatch(/^plain \/dev\/fd\/\d+ b\n$/);
    expect((await as(CALLER, unix, [`${open}/binary`, "c"])).output).toBe("c\n");
  });

  test("nothing else is started however fast names are exchanged", async () => {
    const place = `${tools}/exchange`;
    mkdirSync(place);
    chmodSync(place, 0o777);
    script("good", "#!/bin/sh\necho good\n");
    const evil = `${unix.directory}/evil`;
    writeFileSync(evil, "#!/bin/sh\necho evil\n");
    chmodSync(evil, 0o755);
    let isOver = false;
    const exchange = async () => {
      for (let i = 0; !isOver; i++) {
        symlinkSync(i % 2 === 0 ? evil : `${tools}/good`, `${place}/new`);
        renameSync(`${place}/new`, `${place}/tool`);
        await Bun.sleep(i % 3);
      }
    };
    const exchanging = exchange();
    const results: { output: string }[] = [];
    // Until both have been found.
    const seen = () => new Set(results.map(({ output }) => output)).size;
    for (let i = 0; i < 10 || (seen() < 2 && i < 50); i++) {
      const some = Array.from({ length: 6 }, () => as(CALLER, unix, [`${place}/tool`]));
      results.push(...(await Promise.all(some)));
    }
    isOver = true;
    await exchanging;
    expect(seen()).toBeGreaterThan(1);
    for (const { output } of results) {
      expect(output).toMatch(
        /^(good|rexec: [^\n]+: (not found|the rexec-server does not allow .*))\n$/,
      );
    }
  }, 60_000);
});

describe("with what", () => {
  test("variables that patterns pass and the rule sets, and none that runs code", async () => {
    const env = {
      LC_TIME: "C",
      KEPT: "1",
      OTHER: "2",
      LD_PRELOAD: "/no/such.so",
      BASH_ENV: "/x",
      BASE: "b",
    };
    const { output } = await as(CALLER, unix, ["env"], env);
    const lines = output.split("\n").filter(Boolean).sort();
    expect(lines.filter((line) => !line.startsWith("ERROR: ld.so"))).toEqual([
      "BASE=b",
      "KEPT2=x=y",
      "KEPT=1",
      "LC_TIME=C",
      "MADE=here",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test("its directory", async () => {
    const { output } = await as(CALLER, unix, ["env", "pwd"]);
    expect(output).toBe("/usr/lib\n");
  });

  test("its limits, from the first instruction on", async () => {
    const show = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -St; ulimit -Hv";
    const { output } = await as(0, unix, ["dash", "-c", show]);
    expect(output).toBe("100\n200\n0\n77\n3145728\n");
  });

  test("its cgroup, and what it starts is in it, too", async () => {
    const { output } = await as(0, unix, ["dash", "-c", "cat /proc/self/cgroup"]);
    const inside = output.split("\n").filter((line) => line.endsWith(`/${group}/inner`));
    expect(inside).toHaveLength(Math.min(hierarchies.length, 2));
  });

  test("as many at once as it says, and again when one has ended", async () => {
    const start = () =>
      Bun.spawn([...unix.rexec, "dash", "-c", "echo up; exec cat"], {
        stdio: ["pipe", "pipe", "inherit"],
        env: ENV,
        timeout: 60_000,
      });
    const running = [start(), start()];
    for (const one of running) await one.stdout.getReader().read();
    const denied = await as(0, unix, ["dash", "-c", "echo third"]);
    expect(denied).toEqual({
      code: DENIED,
      output: "rexec: dash: as many run as rule shell allows at once (2)\n",
    });
    // Other rules are not concerned.
    expect((await as(0, unix, ["id"])).code).toBe(0);
    running[0]?.stdin.end();
    await running[0]?.exited;
    expect((await as(0, unix, ["dash", "-c", "echo third"])).output).toBe("third\n");
    running[1]?.stdin.end();
    await running[1]?.exited;
  });

  test("no longer than it says", async () => {
    const { code } = await as(0, unix, ["sleep", "60"]);
    expect(code).toBe(124);
  });

  test("the caller's files are opened as the caller", async () => {
    const secret = `${tools}/inner/secret`;
    writeFileSync(secret, "secret\n");
    chownSync(secret, SERVICE, 0);
    chmodSync(secret, 0o600);
    const words = [...unix.rexec, `${tools}/inner/tool`].map((word) => `'${word}'`).join(" ");
    const inner = await run(["sh", "-c", `exec 5<>${secret}; ${words}`], { env: ENV, cwd: "/" });
    expect(inner.stdout).toBe("inner\n");
  });
});

describe("over TCP", () => {
  test("only rules that say so, as whom they say, whoever the client claims to be", async () => {
    for (const uid of [0, CALLER]) {
      const { code, output } = await as(uid, tcp, ["id"]);
      expect([code, output]).toEqual([0, `uid=${SERVICE} gid=4712 groups=4712\n`]);
    }
    expect(tcp.log).toMatch(/id as uid 4710 for a TCP client by rule strangers$/m);
  });

  test("all else is denied, and what it sees is what the rule's user sees", async () => {
    expect(await as(0, tcp, ["env"])).toEqual({
      code: DENIED,
      output: "rexec: env: the rexec-server does not allow /usr/bin/env\n",
    });
    expect(await as(0, tcp, [`${tools}/inner/tool`])).toEqual({ code: 0, output: "inner\n" });
    chmodSync(`${tools}/named`, 0o700);
    expect((await as(0, tcp, [`${tools}/named`])).output).toContain("Permission denied");
    chmodSync(`${tools}/named`, 0o755);
    expect(tcp.log).toContain("Refused env as uid 0 for a TCP client");
  });

  test("a server without a rule for TCP does not listen there", async () => {
    const file = `${tools}/none.toml`;
    writeFileSync(file, '[[allow]]\nprogram = "/usr/bin/id"\n');
    const listen = ["--listen", "tcp://127.0.0.1:47115", "--insecure", "--config", file];
    const { code, stderr } = await run([QTFS, "rexec-server", ...listen]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      "without a rule: name with --allow what may be run, or with tcp = true",
    );
  });

  test("a rule that is wrong is told, with file and line", async () => {
    const file = `${tools}/wrong.toml`;
    writeFileSync(file, '[[allow]]\nprogram = "/usr/bin/id"\ntcp = true\n');
    const { code, stderr } = await run([QTFS, "rexec-server", "--config", file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${file}, line 3: tcp in [[allow]]: say with as whom everybody`);
  });
});

/** The configuration of a rexec-server: what it may say, and how what it may not is explained. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { readRexecConfig } from "../../src/config/rexec.ts";

const directory = mkdtempSync(`${tmpdir()}/qtfs-rexec-config-`);
afterAll(() => rmSync(directory, { recursive: true }));

function read(text: string) {
  const path = `${directory}/rexec.toml`;
  writeFileSync(path, text);
  return readRexecConfig(path);
}

test("all that there is", () => {
  const text = [
    'listen = ["unix:///run/a.sock", "tcp://10.0.0.1:7001"]',
    "allow_uids = [0, 1000]",
    "insecure = true",
    "lease_s = 90",
    'log_level = "debug"',
    "[[allow]]",
    'program = "/usr/bin/containerd-shim-*"',
    "[[allow]]",
    'program = "*/runc"',
    'args = "--root /run/* state *"',
  ].join("\n");
  expect(read(text)).toEqual({
    listen: [
      { kind: "unix", path: "/run/a.sock" },
      { kind: "tcp", host: "10.0.0.1", port: 7001 },
    ],
    allowUids: [0, 1000],
    insecure: true,
    leaseS: 90,
    logLevel: "debug",
    rules: [
      { name: "1", program: "/usr/bin/containerd-shim-*" },
      { name: "2", program: "*/runc", args: "--root /run/* state *" },
    ],
  });
});

test("nothing at all", () => {
  expect(read("")).toEqual({});
});

test("a rule with all that one may say", () => {
  const text = [
    "[[allow]]",
    'name = "shims"',
    'users = ["root", 1000]',
    "tcp = true",
    'program = "/usr/bin/é*"',
    'args = ["-n", "é?", "..."]',
    'as = "daemon"',
    'group = "root"',
    'groups = ["daemon", 7]',
    'env_pass = ["LANG", "LC_*"]',
    'env_set = { A = "b=c", PATH = "/bin" }',
    'cwd = "/srv"',
    "max = 3",
    'limits = { nofile = 1024, as = "2G", core = "0:unlimited", cpu = "unlimited" }',
    "timeout_s = 1.5",
    'on_lost = "keep"',
  ];
  expect(read(text.join("\n")).rules).toEqual([
    {
      name: "shims",
      users: [0, 1000],
      tcp: true,
      program: "/usr/bin/\u00c3\u00a9*",
      args: ["-n", "\u00c3\u00a9?", "..."],
      as: { uid: 1, gid: 0, groups: [1, 7] },
      env: {
        pass: ["LANG", "LC_*"],
        set: [
          ["A", "b=c"],
          ["PATH", "/bin"],
        ],
        defaults: [
          ["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
          ["HOME", "/usr/sbin"],
          ["SHELL", "/usr/sbin/nologin"],
          ["USER", "daemon"],
          ["LOGNAME", "daemon"],
        ],
        isGuarded: true,
      },
      cwd: "/srv",
      max: 3,
      limits: [
        [7, [1024, 1024]],
        [9, [2 ** 31, 2 ** 31]],
        [4, [0, -1]],
        [0, [-1, -1]],
      ],
      timeoutMs: 1500,
      onLost: "keep",
    },
  ]);
});

test("a user brings his groups, and what he is passed is what cannot harm him", () => {
  const [rule] = read('[[allow]]\nprogram = "*"\nas = "root"').rules ?? [];
  expect(rule?.as).toMatchObject({ uid: 0, gid: 0 });
  expect(rule?.as?.groups).toContain(0);
  expect(rule?.env).toMatchObject({ isGuarded: true, set: [] });
  expect(rule?.env?.pass).toEqual([
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
  ]);
  const [number] = read('[[allow]]\nprogram = "*"\nas = 4711\ngroup = 12').rules ?? [];
  expect(number?.as).toEqual({ uid: 4711, gid: 12, groups: [12] });
  const [anybody] = read('[[allow]]\nprogram = "*"\nas = "*"\ntcp = true').rules ?? [];
  expect(anybody).toEqual({ name: "1", program: "*", tcp: true });
  const [passed] = read('[[allow]]\nprogram = "*"\nenv_set = { A = "1" }').rules ?? [];
  expect(passed?.env).toEqual({ pass: ["*"], set: [["A", "1"]], defaults: [], isGuarded: false });
});

/** Of version 1 and 2. */
const hierarchies = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"].filter(
  (path) => existsSync(`${path}/cgroup.procs`),
);

test.each(hierarchies)("cgroups in %s, absolute and beneath a parent", (hierarchy) => {
  const rules = [
    `cgroup_parent = "${hierarchy}/not-there"`,
    '[[allow]]\nprogram = "*"\ncgroup = "shims"',
    `[[allow]]\nprogram = "*"\ncgroup = ["${hierarchy}", "other"]`,
  ];
  expect(read(rules.join("\n")).rules?.map(({ cgroups }) => cgroups)).toEqual([
    [`${hierarchy}/not-there/shims`],
    [`${hierarchy}`, `${hierarchy}/not-there/other`],
  ]);
  expect(existsSync(`${hierarchy}/not-there`)).toBe(false);
});

const one = (text: string) => `[[allow]]\nprogram = "*"\n${text}`;

const WRONG: [text: string, sentence: string][] = [
  ["lease = 3", 'line 1: unknown key "lease"'],
  ["lease_s = 0", "line 1: lease_s: "],
  ["[[allow]]\nprogram = 'true'", "line 2: program in [[allow]]: it must be an absolute path"],
  [
    "[[allow]]\nprogram = '/bin/true'\narg = 'x'",
    'line 3: unknown key "arg" in [[allow]], did you mean args?',
  ],
  ["[[allow]]", "line 1: this [[allow]] has no program"],
  ['listen = ["udp://x"]', "line 1: listen: "],
  ["allow_uids = [-1]", "line 1: allow_uids: "],
  [one("args = 5"), "line 3: args in [[allow]]: it must be a text, or a list of texts"],
  [one('as = "nobody-has-this-name"'), 'as in [[allow]]: there is no user "nobody-has-this-name"'],
  [one("as = 4711"), "line 3: as in [[allow]]: no user has the number 4711: give its group, too"],
  [one("as = 4294967295"), "line 3: as in [[allow]]: Too big"],
  [one('group = "root"'), "line 3: group in [[allow]]: it needs as, with a user"],
  [one('as = "root"\ngroup = "none-such"'), 'group in [[allow]]: there is no group "none-such"'],
  [one('users = ["none-such"]'), 'line 3: users in [[allow]]: there is no user "none-such"'],
  [one("users = []"), "line 3: users in [[allow]]: it is a rule for nobody"],
  [one("tcp = true"), "line 3: tcp in [[allow]]: say with as whom everybody becomes"],
  [one('env_pass = ["A=b"]'), "line 3: env_pass in [[allow]]: names of variables hold no ="],
  [one('env_set = { "A=" = "b" }'), "env_set in [[allow]]: "],
  [one('cwd = "srv"'), "line 3: cwd in [[allow]]: it must be an absolute path"],
  [one("max = 0"), "line 3: max in [[allow]]:"],
  [
    one("limits = { nofil = 3 }"),
    'limits in [[allow]]: no limit is called "nofil", did you mean nofile?',
  ],
  [one('limits = { as = "2Q" }'), 'limits in [[allow]]: as: it must be a number like 1024 or "2G"'],
  [
    one('limits = { cpu = "2:1" }'),
    "limits in [[allow]]: cpu: the soft limit is above the hard one",
  ],
  [one("limits = { nofile = -1 }"), "limits in [[allow]]: nofile: it must be a number"],
  [one('cgroup = "shims"'), 'line 3: cgroup in [[allow]]: "shims" is beneath cgroup_parent, which'],
  [one('cgroup = "../x"'), "line 3: cgroup in [[allow]]: it must be an absolute path, or a name"],
  [one('cgroup = "/usr/x"'), "line 3: cgroup in [[allow]]: /usr/x is in no file system of cgroups"],
  ['cgroup_parent = "/usr"', "line 1: cgroup_parent: /usr is in no file system of cgroups"],
  [
    one(`args = "${"x".repeat(40_000)}"`),
    "line 2: program in [[allow]]: this rule is longer than 32768",
  ],
  [one("timeout_s = 0"), "line 3: timeout_s in [[allow]]:"],
  [one('on_lost = "kep"'), "line 3: on_lost in [[allow]]:"],
  [one('name = "a b"'), "line 3: name in [[allow]]: it must be of letters"],
  [
    `${one('name = "2"')}\n${one("")}`,
    "line 4: name in [[allow]]: an earlier rule is called 2, too",
  ],
];

for (const [text, sentence] of WRONG) {
  test(`says what is wrong with ${JSON.stringify(text).slice(0, 100)}`, () => {
    expect(() => read(text)).toThrow(sentence);
  });
}

/** The configuration of a rexec-server: what it may say, and how what it may not is explained. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
      { program: "/usr/bin/containerd-shim-*" },
      { program: "*/runc", args: "--root /run/* state *" },
    ],
  });
});

test("nothing at all", () => {
  expect(read("")).toEqual({});
});

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
];

for (const [text, sentence] of WRONG) {
  test(`says what is wrong with ${JSON.stringify(text)}`, () => {
    expect(() => read(text)).toThrow(sentence);
  });
}

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readServerConfig } from "../../src/config/server.ts";

const directory = mkdtempSync(join(tmpdir(), "qtfs-config-"));
const path = join(directory, "server.toml");
afterAll(() => rmSync(directory, { recursive: true }));

function read(text: string) {
  writeFileSync(path, text);
  return readServerConfig(path);
}

test("every setting arrives", () => {
  const text = `
listen = ["unix:///run/a.sock", "tcp://[::1]:7000"]
allow_uids = [0, 1000]
insecure = true
log_level = "debug"
threads = 2
[[export]]
path = "/srv"
[[export]]
path = "/usr/share"
read_only = true
allow = ["sysmount", "ioctl"]
magic_links = false
[[policy]]
type = "nfs"
policy = "watched"
[[policy]]
type = "0x1234"
policy = "short"
[[policy]]
path = "/srv/state/"
policy = "live"
`;
  expect(read(text)).toEqual({
    listen: [
      { kind: "unix", path: "/run/a.sock" },
      { kind: "tcp", host: "::1", port: 7000 },
    ],
    allowUids: [0, 1000],
    insecure: true,
    logLevel: "debug",
    threads: 2,
    exports: [
      { path: "/srv", readOnly: false },
      { path: "/usr/share", readOnly: true, allow: ["sysmount", "ioctl"], magicLinks: false },
    ],
    policies: [
      { magic: 0x6969, treatment: "watched" },
      { magic: 0x1234, treatment: "short" },
      { path: "/srv/state", treatment: "live" },
    ],
  });
});

test("what is left out is absent", () => {
  expect(read("")).toEqual({ exports: [] });
});

test.each([
  ["\nlog_levl = 'info'", 'line 2: unknown key "log_levl", did you mean log_level?'],
  ["[server]\nlisten = []", 'line 1: unknown key "server"'],
  [
    '[[export]]\npath = "/a"\n[[export]]\npath = "/b"\nread-only = true',
    'line 5: unknown key "read-only" in [[export]], did you mean read_only?',
  ],
  [
    '[[export]]\npath = "/a"\n\n[[export]]\nread_only = true',
    "line 4: this [[export]] has no path",
  ],
  ['[[export]]\npath = "srv"', "line 2: path in [[export]]: it must be an absolute path"],
  ["[[export]]\npath = 5", "line 2: path in [[export]]: expected string, received number"],
  ['[[export]]\npath = "/a"\nallow = ["sysmont"]', "line 3: allow in [[export]]:"],
  [
    '[[policy]]\ntype = "ext5"\npolicy = "live"',
    'line 2: type in [[policy]]: no file system is of type "ext5", did you mean ext4?',
  ],
  [
    '[[policy]]\ntype = "cgroup2"\npolicy = "watched"',
    "line 3: policy in [[policy]]: files of cgroup2 are made when they are read, they can only be live",
  ],
  [
    '[[policy]]\npath = "/srv"\ntype = "nfs"\npolicy = "live"',
    "line 2: path in [[policy]]: give a type or a path, not both",
  ],
  [
    '[[policy]]\npolicy = "live"',
    "line 2: policy in [[policy]]: give the type or the path that it is for",
  ],
  ['[[policy]]\ntype = "nfs"', "line 1: this [[policy]] has no policy"],
  ['[[policy]]\ntype = "nfs"\npolicy = "never"', "line 3: policy in [[policy]]: expected one of"],
  [
    '[[policy]]\npath = "srv"\npolicy = "live"',
    "line 2: path in [[policy]]: it must be an absolute",
  ],
  [
    'listen = ["nfs://x"]',
    'line 1: listen: Address "nfs://x" must begin with unix://, tcp://, vsock:// or pcie://',
  ],
  ["insecure = 'yes'", "line 1: insecure: expected boolean, received string"],
  ["allow_uids = [-1]", "line 1: allow_uids:"],
  ["log_level = 'loud'", "line 1: log_level:"],
  ["insecure = true\n\n# so\nlisten = [1,\n2\nx = 3\n", "line 4: "],
  ["insecure = true\ninsecure = false", "line 2: Cannot redefine key 'insecure'"],
  ["\n[[export]\npath = 'x'", "line 2: "],
])("%p is refused with its line", (text, sentence) => {
  expect(() => read(text)).toThrow(`${path}, ${sentence}`);
});

test("an inline table's mistake is told without a line", () => {
  expect(() => read('export = [{ path = "/a", rw = true }]')).toThrow(
    `${path}: unknown key "rw" in [[export]]`,
  );
});

test("a file that is too long, missing or a directory is refused", () => {
  expect(() => read("#".repeat(65_537))).toThrow("65537 bytes, more than the 65536 allowed");
  expect(() => readServerConfig(`${path}.none`)).toThrow("Cannot read the configuration");
  expect(() => readServerConfig(directory)).toThrow("Cannot read the configuration");
});

test("a server has one to four threads for clients", () => {
  for (const threads of [0, 5, 1.5]) {
    expect(() => read(`threads = ${threads}`)).toThrow("threads");
  }
});

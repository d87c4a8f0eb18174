/** Orders: what was encoded is decoded, and what a stranger sends is checked. */
import { expect, test } from "bun:test";
import { optionsLength } from "../../src/cli/rexec.ts";
import { decodeOrder, encodeOrder, type OrderHead } from "../../src/rexec/order.ts";
import { matches } from "../../src/rexec/server/patterns.ts";
import { ORDER_WORDS_MAX } from "../../src/wire/limits.ts";

const head: OrderHead = {
  cwd: Buffer.from("/a b\xff", "latin1"),
  uid: 1,
  gid: 2,
  groups: [3, 4_000_000_000],
  umask: 0o27,
  blocked: [0xffff_ffff, 1],
  ignored: [0, 0x8000_0000],
  limits: [
    [-1, -1],
    [0, 5e12],
  ],
  fds: [
    { target: 0, place: 0 },
    { target: 2, device: "null", flags: 1 },
    { target: 3, file: 0 },
  ],
  files: [
    {
      path: Buffer.from("/a\xff", "latin1"),
      flags: 0o2002,
      offset: 5e12,
      identity: Buffer.alloc(16, 3),
      place: -1,
    },
  ],
  detach: false,
  timeoutMs: 1500,
};
const argv = Buffer.from("x\0\0\xff\0", "latin1");
const env = Buffer.from("A=1\0");

test("an order comes as it was sent, byte for byte", () => {
  const bytes = encodeOrder(head, argv, env);
  const order = decodeOrder(bytes);
  const files = head.files.map((file) => ({
    ...file,
    path: Uint8Array.from(file.path),
    identity: Uint8Array.from(file.identity),
  }));
  expect(order.head).toEqual({ ...head, cwd: Uint8Array.from(head.cwd), files });
  expect(bytes.subarray(order.argvStart, order.envStart)).toEqual(argv);
  expect(bytes.subarray(order.envStart, order.end)).toEqual(env);
});

test("a terminal's modes and size are 44 and 8 bytes", () => {
  const terminal = { modes: new Uint8Array(44).fill(7), size: new Uint8Array(8).fill(9) };
  expect(decodeOrder(encodeOrder({ ...head, terminal }, argv, env)).head.terminal).toEqual(
    terminal,
  );
  const wrong = { ...terminal, size: new Uint8Array(9) };
  expect(() => decodeOrder(encodeOrder({ ...head, terminal: wrong }, argv, env))).toThrow(
    "length of bytes",
  );
});

const WRONG: [string, Partial<OrderHead>][] = [
  ["a negative user", { uid: -1 }],
  ["a user beyond all", { uid: 0xffff_ffff }],
  ["too many groups", { groups: Array.from({ length: 2000 }, () => 1) }],
  ["a umask of more bits", { umask: 0o1000 }],
  ["a limit that is no number", { limits: [[0.5, 1]] }],
  ["a limit below none", { limits: [[-2, 1]] }],
  [
    "descriptors that do not ascend",
    {
      fds: [
        { target: 2, place: 0 },
        { target: 1, place: 1 },
      ],
    },
  ],
  ["a descriptor too high", { fds: [{ target: 256, place: 0 }] }],
  ["another device", { fds: [{ target: 0, device: "../etc/passwd", flags: 0 }] }],
  ["a device opened otherwise", { fds: [{ target: 0, device: "null", flags: 0o100 }] }],
  ["a directory with a NUL", { cwd: Buffer.from("/a\0b") }],
  ["a directory too long", { cwd: Buffer.alloc(5000, "x") }],
  ["no time", { timeoutMs: Number.NaN }],
];

for (const [name, change] of WRONG) {
  test(`refuses ${name}`, () => {
    expect(() => decodeOrder(encodeOrder({ ...head, ...change }, argv, env))).toThrow("improper");
  });
}

test("refuses what is shorter or longer than it says, and text without its NUL", () => {
  const bytes = encodeOrder(head, argv, env);
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeOrder(bytes.subarray(0, length))).toThrow();
  }
  expect(() => decodeOrder(Buffer.concat([bytes, Buffer.from([0])]))).toThrow("length");
  expect(() => decodeOrder(encodeOrder(head, Buffer.from("x"), env))).toThrow("text");
  expect(() => decodeOrder(encodeOrder(head, Buffer.alloc(0), env))).toThrow("text");
});

test("refuses more words than a program can have", () => {
  const words = (count: number) => Buffer.alloc(2 * count).fill("a\0");
  const ordered = (count: number) => decodeOrder(encodeOrder(head, words(count), Buffer.alloc(0)));
  expect(ordered(ORDER_WORDS_MAX).end).toBeGreaterThan(2 * ORDER_WORDS_MAX);
  expect(() => ordered(ORDER_WORDS_MAX + 1)).toThrow("number of words");
});

test("patterns", () => {
  const yes: [string, string][] = [
    ["*", ""],
    ["/bin/*", "/bin/true"],
    ["/usr/bin/containerd-shim-*", "/usr/bin/containerd-shim-runc-v2"],
    ["/bin/tru?", "/bin/true"],
    ["*a*b*", "xxaxxbxx"],
    ["/a", "/a"],
  ];
  const no: [string, string][] = [
    ["", "x"],
    ["/bin/*", "/sbin/true"],
    ["/bin/tru?", "/bin/tru"],
    ["/a", "/a/b"],
    ["*a*b*", "ba"],
  ];
  for (const [pattern, text] of yes)
    expect([pattern, matches(pattern, text)]).toEqual([pattern, true]);
  for (const [pattern, text] of no)
    expect([pattern, matches(pattern, text)]).toEqual([pattern, false]);
  // One that would take for ever by trying everything.
  expect(matches(`${"*a".repeat(50)}b`, "a".repeat(5000))).toBe(false);
});

test("options end with the program", () => {
  const length = (...words: string[]) => optionsLength(words.map((word) => Buffer.from(word)));
  expect(length("true", "-t")).toBe(0);
  expect(length("-t", "bash", "-t")).toBe(1);
  expect(length("--cwd", "/", "ls", "--cwd")).toBe(2);
  expect(length("--cwd=/", "ls")).toBe(1);
  expect(length("--env", "A=1", "-t", "--", "--x")).toBe(4);
  expect(length("-")).toBe(0);
});

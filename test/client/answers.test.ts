/** Answers' structs against the same ones filled in by C, byte for byte. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  type Birth,
  put64,
  putAbsent,
  putAttributes,
  putAttrOut,
  putEntry,
  putStatxOut,
} from "../../src/client/answers.ts";
import { ENTRY_OUT_SIZE, STATX_OUT_SIZE } from "../../src/fuse/protocol.ts";
import { type Attributes, emptyAttributes } from "../../src/wire/attributes.ts";
import { Policy } from "../../src/wire/constants.ts";
import { NEWER } from "../fuse/newer.ts";

const VALIDITY = { ordinarySeconds: 3, watchedSeconds: 86_400 };
const SECONDS = [VALIDITY.ordinarySeconds, 0, VALIDITY.watchedSeconds];

/** Every field different, and as large or as negative as it may be. */
const EXTREME: Attributes = {
  inoHigh: 0xfedc_ba98,
  inoLow: 0x8765_4321,
  size: 2 ** 53 - 1,
  blocks: 2 ** 44 + 7,
  atime: -1,
  atimeNs: 999_999_999,
  mtime: -2_208_988_800,
  mtimeNs: 1,
  ctime: 253_402_300_799,
  ctimeNs: 500_000_000,
  mode: 0o104755,
  nlink: 0xffff_fffe,
  uid: 0xffff_fffd,
  gid: 65_534,
  rdev: 300 * 2 ** 20 + 70_000,
  blksize: 1 << 20,
  policy: Policy.ORDINARY,
};
const PLAIN: Attributes = {
  ...emptyAttributes(),
  inoLow: 2,
  size: 12,
  blocks: 8,
  mode: 0o100644,
  nlink: 1,
  mtime: 1_700_000_000,
  blksize: 4096,
};
const BIRTH: Birth = { known: true, seconds: -7, nanoseconds: 123_456_789, attributes: 0x30 };
const NO_BIRTH: Birth = { known: false, seconds: 0, nanoseconds: 0, attributes: 0 };

/** A case: attributes, the node's number and what statx adds. */
const CASES = [
  { a: EXTREME, high: 0x8000_0001, low: 0xffff_ffff, birth: BIRTH },
  { a: PLAIN, high: 0, low: 1, birth: NO_BIRTH },
  { a: { ...PLAIN, policy: Policy.LIVE }, high: 1, low: 0, birth: NO_BIRTH },
  { a: { ...EXTREME, policy: Policy.WATCHED }, high: 5, low: 6, birth: BIRTH },
  { a: { ...PLAIN, mode: 0o40755, nlink: 3 }, high: 2, low: 7, birth: NO_BIRTH },
];

const isDirectory = ({ mode }: Attributes) => (mode & 0o170000) === 0o40000;

const directory = mkdtempSync(`${tmpdir()}/qtfs-answers-`);
afterAll(() => rmSync(directory, { recursive: true }));

/** The C statements that fill the structs of one case and print them, a line each. */
function statements({ a, high, low, birth }: (typeof CASES)[number]): string {
  const [major, minor] = [Math.floor(a.rdev / 2 ** 20), a.rdev % 2 ** 20];
  const valid = SECONDS[a.policy];
  // A name of a file that has others is never believed; a directory's links are no names.
  const nameValid = a.nlink > 1 && !isDirectory(a) ? 0 : valid;
  const time = (name: string, seconds: number, ns: number) =>
    `{ .tv_sec = ${seconds}LL, .tv_nsec = ${ns} }, /* ${name} */`;
  const mask = `STATX_BASIC_STATS${birth.known ? " | STATX_BTIME" : ""}`;
  return `{
  struct fuse_attr attr = {
    .ino = ${a.inoHigh}ull << 32 | ${a.inoLow}u, .size = ${a.size}ull, .blocks = ${a.blocks}ull,
    .atime = ${a.atime}LL, .mtime = ${a.mtime}LL, .ctime = ${a.ctime}LL,
    .atimensec = ${a.atimeNs}, .mtimensec = ${a.mtimeNs}, .ctimensec = ${a.ctimeNs},
    .mode = ${a.mode}, .nlink = ${a.nlink}u, .uid = ${a.uid}u, .gid = ${a.gid}u,
    .rdev = NEW_ENCODE_DEV(${major}u, ${minor}u), .blksize = ${a.blksize} };
  struct fuse_entry_out entry = { .nodeid = ${high}ull << 32 | ${low}u,
    .entry_valid = ${nameValid}, .attr_valid = ${valid}, .attr = attr };
  struct fuse_attr_out out = { .attr_valid = ${valid}, .attr = attr };
  struct fuse_statx_out statx = { .attr_valid = ${valid}, .stat = {
    .mask = ${mask}, .blksize = ${a.blksize}, .attributes = ${birth.attributes},
    .nlink = ${a.nlink}u, .uid = ${a.uid}u, .gid = ${a.gid}u, .mode = ${a.mode},
    .ino = attr.ino, .size = attr.size, .blocks = attr.blocks,
    .atime = ${time("a", a.atime, a.atimeNs)} .mtime = ${time("m", a.mtime, a.mtimeNs)}
    .ctime = ${time("c", a.ctime, a.ctimeNs)}
    .btime = ${time("b", birth.seconds, birth.nanoseconds)}
    .rdev_major = ${major}, .rdev_minor = ${minor} } };
  print(&attr, sizeof(attr)); print(&entry, sizeof(entry));
  print(&out, sizeof(out)); print(&statx, sizeof(statx));
}`;
}

/** The four structs of every case, in hexadecimal, as C has them. */
function inC(): string[][] {
  const source = `#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <linux/fuse.h>
${NEWER}
/* linux/kdev_t.h of the kernel: new_encode_dev */
#define NEW_ENCODE_DEV(major, minor) \\
  (((minor) & 0xff) | ((major) << 8) | (((minor) & ~0xffu) << 12))
static void print(const void *bytes, size_t n)
{
  for (size_t i = 0; i < n; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
  printf("\\n");
}
int main(void)
{
${CASES.map(statements).join("\n")}
  struct fuse_entry_out absent = { .entry_valid = ${VALIDITY.watchedSeconds} };
  print(&absent, sizeof(absent));
}`;
  writeFileSync(`${directory}/answers.c`, source);
  const command = ["cc", "-Wall", "-o", `${directory}/answers`, `${directory}/answers.c`];
  const built = Bun.spawnSync(command, { stderr: "pipe" });
  if (!built.success) throw new Error(built.stderr.toString());
  const lines = Bun.spawnSync([`${directory}/answers`])
    .stdout.toString()
    .trim()
    .split("\n");
  const cases = CASES.map((_, i) => lines.slice(i * 4, i * 4 + 4));
  return [...cases, lines.slice(CASES.length * 4)];
}

const expected = inC();
const AT = 24;

/** What `put` writes at an offset, into memory that was not clean; it must say how much. */
function hex(size: number, put: (view: DataView) => number | undefined): string {
  const bytes = Buffer.alloc(AT + size + 8, 0xa5);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  expect(put(view) ?? size).toBe(size);
  expect(bytes.toString("hex", AT + size)).toBe("a5".repeat(8));
  return bytes.toString("hex", AT, AT + size);
}

describe.each(CASES.map((one, i) => ({ ...one, i })))(
  "attributes $i",
  ({ a, high, low, birth, i }) => {
    const [attr = "", entry = "", out = "", statx = ""] = expected[i] ?? [];
    const size = (text: string) => text.length / 2;

    test("struct fuse_attr", () => {
      const ours = hex(size(attr), (view) => {
        putAttributes(view, AT, a, VALIDITY);
        return undefined;
      });
      expect(ours).toBe(attr);
    });

    test("struct fuse_entry_out", () => {
      expect(hex(size(entry), (view) => putEntry(view, AT, high, low, a, VALIDITY))).toBe(entry);
    });

    test("struct fuse_attr_out", () => {
      expect(hex(size(out), (view) => putAttrOut(view, AT, a, VALIDITY))).toBe(out);
    });

    test("struct fuse_statx_out", () => {
      expect(hex(size(statx), (view) => putStatxOut(view, AT, a, birth, VALIDITY))).toBe(statx);
    });
  },
);

test("a device that is shown as a file has no numbers, and is believed for no time", () => {
  const validity = { ...VALIDITY, deviceFiles: true };
  const file = { ...PLAIN, rdev: 0, policy: Policy.LIVE, mode: 0o100620 };
  for (const mode of [0o020620, 0o060620]) {
    const device = { ...PLAIN, rdev: 5 * 2 ** 20 + 1, policy: Policy.WATCHED, mode };
    const entries = [device, file].map((a) =>
      hex(ENTRY_OUT_SIZE, (view) => putEntry(view, AT, 0, 9, a, validity)),
    );
    expect(entries[0]).toBe(entries[1] as string);
    const statx = [device, file].map((a) =>
      hex(STATX_OUT_SIZE, (view) => putStatxOut(view, AT, a, NO_BIRTH, validity)),
    );
    expect(statx[0]).toBe(statx[1] as string);
  }
  const ordinary = hex(ENTRY_OUT_SIZE, (view) => putEntry(view, AT, 0, 9, PLAIN, validity));
  expect(hex(ENTRY_OUT_SIZE, (view) => putEntry(view, AT, 0, 9, PLAIN, VALIDITY))).toBe(ordinary);
});

test("the entry of a name that does not exist", () => {
  const [absent = ""] = expected.at(-1) ?? [];
  expect(hex(absent.length / 2, (view) => putAbsent(view, AT, VALIDITY.watchedSeconds))).toBe(
    absent,
  );
});

test("numbers of 64 bits", () => {
  const view = new DataView(new ArrayBuffer(8));
  for (const value of [0, 1, 2 ** 32, 2 ** 53 - 1, -1, -(2 ** 32), -(2 ** 40) - 3]) {
    put64(view, 0, value);
    expect(view.getBigInt64(0, true)).toBe(BigInt(value));
  }
});

/** What a descriptor is called, and whether others could give that name to something else. */
import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { isSettled, pathOf } from "../../../src/rexec/server/pathname.ts";
import { cstring } from "../../../src/sys/cstring.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat } from "../../../src/sys/open.ts";
import { WITHOUT_OTHERS } from "../../e2e/support/apart.ts";

const OTHER = 4711;
/** Not below /tmp, which lets others make names. */
const directory = realpathSync(mkdtempSync("/var/lib/qtfs-place-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function open(path: string): number {
  const fd = openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC, 0);
  expect(fd).toBeGreaterThan(0);
  return fd;
}

test("the path is free of links, follows a rename, and ends with the file", () => {
  const [file, link] = [`${directory}/file-\xe9`, `${directory}/link`];
  writeFileSync(file, "");
  symlinkSync(file, link);
  const fd = open(link);
  const bytes = (path: string) => Buffer.from(path).toString("latin1");
  expect(pathOf(fd)).toBe(bytes(file));
  renameSync(file, `${file}2`);
  expect(pathOf(fd)).toBe(bytes(`${file}2`));
  writeFileSync(`${file}3`, "");
  renameSync(`${file}3`, `${file}2`);
  expect(pathOf(fd)).toBe("");
  unlinkSync(`${file}2`);
  expect(pathOf(fd)).toBe("");
  close(fd);
});

test("a path of other mounts is none", async () => {
  const script = `mount -t tmpfs none ${directory}; touch ${directory}/tool; echo $$; exec cat`;
  const apart = ["unshare", "--mount", "--propagation", "private", ...WITHOUT_OTHERS];
  const command = [...apart, "sh", "-c", script];
  const child = Bun.spawn(command, { stdio: ["pipe", "pipe", "inherit"], timeout: 20_000 });
  const { value } = await child.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  writeFileSync(`${directory}/tool`, "");
  const theirs = open(`/proc/${pid}/root${directory}/tool`);
  const ours = open(`${directory}/tool`);
  expect([pathOf(theirs), pathOf(ours)]).toEqual(["", `${directory}/tool`]);
  close(theirs);
  close(ours);
  child.stdin.end();
  await child.exited;
});

test("settled is what only root and the user can exchange", () => {
  const [inner, file] = [`${directory}/inner`, `${directory}/inner/file`];
  mkdirSync(inner);
  writeFileSync(file, "");
  const as = (mode: number, owner: number, uid = 0) => {
    chownSync(inner, owner, 0);
    chmodSync(inner, mode);
    return isSettled(file, uid);
  };
  chmodSync(directory, 0o755);
  expect(as(0o755, 0)).toBe(true);
  expect(as(0o755, OTHER)).toBe(false);
  expect(as(0o755, OTHER, OTHER)).toBe(true);
  expect(as(0o775, 0)).toBe(false);
  expect(as(0o777, 0)).toBe(false);
  expect(as(0o1777, 0)).toBe(true);
  chownSync(file, OTHER, 0);
  expect(as(0o1777, 0)).toBe(false);
  expect(as(0o1777, 0, OTHER)).toBe(true);
  expect(as(0o755, 0)).toBe(true);
  chmodSync(directory, 0o777);
  expect(as(0o755, 0)).toBe(false);
  chmodSync(directory, 0o755);
  expect(isSettled(`${file}/none`, 0)).toBe(false);
});

test("what is a link by now is not settled", () => {
  symlinkSync(directory, `${directory}/loop`);
  expect(isSettled(`${directory}/loop/file`, 0)).toBe(false);
});

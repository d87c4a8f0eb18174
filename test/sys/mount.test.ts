/** mount and umount2 on a directory of the test's own, copies of mounts, and their numbers. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import {
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openTree,
} from "../../src/sys/fsmount.ts";
import { allocate, getWord64 } from "../../src/sys/memory.ts";
import {
  MNT_DETACH,
  MS_NODEV,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REMOUNT,
  MS_SHARED,
  mount,
  UMOUNT_NOFOLLOW,
  umount2,
} from "../../src/sys/mount.ts";
import { listMounts, STATX_MNT_ID_UNIQUE } from "../../src/sys/mountid.ts";
import { AT_EMPTY_PATH, AT_FDCWD, close, O_CREAT, O_RDWR, openat } from "../../src/sys/open.ts";
import { STATX, STATX_STRUCT_SIZE, statx } from "../../src/sys/stat.ts";
import { mkdirat } from "../../src/sys/tree.ts";
import { outcome, scratch } from "./support.ts";

const place = scratch();
const TMPFS_MAGIC = 0x01021994;

test("a tmpfs is mounted with data, made read-only, busy, detached", () => {
  const target = place.path("target");
  mkdirSync(target);
  writeFileSync(place.path("target/below"), "");
  const source = cstring("qtfs-test");
  const type = cstring("tmpfs");
  expect(mount(source, cstring(target), type, MS_NODEV, cstring("size=1m"))).toBe(0);
  let open = -1;
  try {
    expect(statfsSync(target).type).toBe(TMPFS_MAGIC);
    expect(statfsSync(target).blocks * statfsSync(target).bsize).toBe(1 << 20);
    expect(existsSync(place.path("target/below"))).toBe(false);
    open = openat(AT_FDCWD, place.at("target/file"), O_RDWR | O_CREAT, 0o600);
    expect(outcome(umount2(cstring(target), 0))).toBe("EBUSY");
    expect(outcome(mount(0, cstring(target), 0, MS_REMOUNT | MS_RDONLY, 0))).toBe("EBUSY");
    close(open);
    expect(mount(0, cstring(target), 0, MS_REMOUNT | MS_RDONLY, 0)).toBe(0);
    const refused = openat(AT_FDCWD, place.at("target/other"), O_RDWR | O_CREAT, 0o600);
    expect(outcome(refused)).toBe("EROFS");
  } finally {
    expect(umount2(cstring(target), MNT_DETACH | UMOUNT_NOFOLLOW)).toBe(0);
  }
  expect(existsSync(place.path("target/below"))).toBe(true);
});

/** Mounts a tmpfs of the test's own that holds `names`, while `work` is done. */
function withMount(target: string, names: string[], work: () => void): void {
  mkdirSync(target);
  expect(mount(cstring("test"), cstring(target), cstring("tmpfs"), 0, 0)).toBe(0);
  try {
    mount(0, cstring(target), 0, MS_PRIVATE, 0);
    for (const name of names) mkdirSync(`${target}/${name}`);
    work();
  } finally {
    umount2(cstring(target), MNT_DETACH);
  }
}

test("a copy of a mount shows nothing that is mounted in it, keeps nothing busy, and has attributes of its own", () => {
  const target = place.path("copied");
  withMount(target, ["inner"], () => {
    const inner = `${target}/inner`;
    expect(mount(0, cstring(target), 0, MS_SHARED, 0)).toBe(0);
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    const copy = openTree(AT_FDCWD, cstring(target), flags);
    expect(copy).toBeGreaterThan(0);
    const attributes = (set: number, clear: number, propagation = 0) =>
      mountSetattr(copy, cstring(""), AT_EMPTY_PATH, set, clear, propagation);
    expect(attributes(0, 0, MS_PRIVATE)).toBe(0);
    expect(mount(cstring("test"), cstring(inner), cstring("tmpfs"), 0, 0)).toBe(0);
    mkdirSync(`${inner}/hidden`);
    expect(existsSync(`/proc/self/fd/${copy}/inner/hidden`)).toBe(false);
    expect(umount2(cstring(inner), 0)).toBe(0);
    expect(attributes(MOUNT_ATTR_RDONLY, 0)).toBe(0);
    expect(outcome(mkdirat(copy, cstring("new"), 0o755))).toBe("EROFS");
    expect(mkdirat(AT_FDCWD, cstring(`${target}/new`), 0o755)).toBe(0);
    expect(attributes(0, MOUNT_ATTR_RDONLY)).toBe(0);
    expect(mkdirat(copy, cstring("newer"), 0o755)).toBe(0);
    expect(umount2(cstring(target), 0)).toBe(0);
    expect(mkdirat(copy, cstring("newest"), 0o755)).toBe(0);
    close(copy);
  });
});

test("mounts have numbers in mountinfo's order, and another's is another", () => {
  const region = allocate(8 * 4096);
  const found = allocate(STATX_STRUCT_SIZE);
  const numbersAfter = (number: number) => {
    const count = listMounts(region.address, 4096, number);
    return Array.from({ length: count }, (_, i) => getWord64(region.words, 2 * i));
  };
  const read = () => readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  /** Lines and numbers of one moment: others mount things on this machine, too. */
  const listed = () => {
    let lines = read();
    let all = numbersAfter(0);
    for (let now = read(); now.join() !== lines.join(); now = read()) {
      lines = now;
      all = numbersAfter(0);
    }
    return { lines, all };
  };
  const numberOf = (path: string) => {
    expect(statx(AT_FDCWD, cstring(path), 0, STATX_MNT_ID_UNIQUE, found.address)).toBe(0);
    return getWord64(found.words, STATX.mntId / 4);
  };
  const numbers: number[] = [];
  for (const name of ["first", "second"]) {
    withMount(place.path(name), [], () => {
      const { lines, all } = listed();
      const at = lines.findLastIndex((line) => line.split(" ")[4] === place.path(name));
      const number = numberOf(place.path(name));
      expect(all.length).toBe(lines.length);
      expect(all[at]).toBe(number);
      expect(numbersAfter(number)).not.toContain(number);
      numbers.push(number);
    });
    expect(listed().all).not.toContain(numbers.at(-1) as number);
  }
  expect(numbers[1]).toBeGreaterThan(numbers[0] as number);
});

test("failures", () => {
  expect(outcome(umount2(cstring(place.directory), 0))).toBe("EINVAL");
  expect(outcome(umount2(place.at("nothing"), 0))).toBe("ENOENT");
  const type = cstring("no-such-type");
  expect(outcome(mount(0, cstring(place.directory), type, 0, 0))).toBe("ENODEV");
});

/** mount and umount2 on a directory of the test's own. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import {
  MNT_DETACH,
  MS_NODEV,
  MS_RDONLY,
  MS_REMOUNT,
  mount,
  UMOUNT_NOFOLLOW,
  umount2,
} from "../../src/sys/mount.ts";
import { AT_FDCWD, close, O_CREAT, O_RDWR, openat } from "../../src/sys/open.ts";
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

test("failures", () => {
  expect(outcome(umount2(cstring(place.directory), 0))).toBe("EINVAL");
  expect(outcome(umount2(place.at("nothing"), 0))).toBe("ENOENT");
  const type = cstring("no-such-type");
  expect(outcome(mount(0, cstring(place.directory), type, 0, 0))).toBe("ENODEV");
});

/** Where processes are, from mountinfo as the kernel writes it. */
import { expect, test } from "bun:test";
import { placementOf } from "../../../src/client/proc/placement.ts";

const OURS = "0:90";
const CHROOT = [
  "50 20 254:0 /usr /usr rw - ext4 /dev/vda rw",
  "51 20 0:5 / /local_proc rw,relatime shared:1 - proc proc rw",
  "52 20 0:90 / /proc rw,nosuid,nodev - fuse.qtfs /proc rw,user_id=0",
];
const of = (...lines: string[]) => placementOf(`${lines.join("\n")}\n`, OURS);

test("in the guide's chroot the mount is /proc, and the DPU's procfs at /local_proc", () => {
  expect(of(...CHROOT)).toEqual({ isHome: true, procfs: "/local_proc" });
});

test("outside it the mount is elsewhere, and procfs at /proc", () => {
  const proc = "23 20 0:4 / /proc rw - proc proc rw";
  const mount = "52 20 0:90 / /another_rootfs/proc rw - fuse.qtfs /proc rw";
  expect(of(proc, mount)).toEqual({ isHome: false, procfs: "/proc" });
});

test("a procfs below another one, below the mount or by a part of it is none", () => {
  const [usr = "", , mount = ""] = CHROOT;
  expect(of("23 20 0:4 / /proc rw - proc proc rw", usr, mount.replace("52 20", "52 23"))).toEqual({
    isHome: true,
    procfs: undefined,
  });
  const part = "51 20 0:5 /sys /local_proc rw - proc proc rw";
  expect(of(part, mount).procfs).toBeUndefined();
});

test("what is mounted over, or over what it is mounted in, is not in reach", () => {
  const hidden = "60 20 0:61 / /local_proc rw - tmpfs none rw";
  expect(of(...CHROOT, hidden).procfs).toBeUndefined();
  const nested = "70 50 0:5 / /usr/proc rw - proc proc rw";
  expect(of(...CHROOT.slice(2), CHROOT[0] as string, nested).procfs).toBe("/usr/proc");
  const over = "71 50 0:61 / /usr rw - tmpfs none rw";
  expect(of(...CHROOT.slice(2), CHROOT[0] as string, nested, over).procfs).toBeUndefined();
  expect(of(...CHROOT, "61 52 0:62 / /proc rw - tmpfs none rw").isHome).toBe(false);
});

test("another mount's device, a part of ours, and none at all are not ours", () => {
  const other = CHROOT.map((line) => line.replace(OURS, "0:91"));
  expect(of(...other).isHome).toBe(false);
  expect(of(...CHROOT.map((line) => line.replace("0:90 /", "0:90 /sys"))).isHome).toBe(false);
  expect(placementOf(CHROOT.join("\n"), undefined).isHome).toBe(false);
});

test("a path's bytes are kept, unescaped", () => {
  expect(of("51 20 0:5 / /a\\040b rw - proc proc rw").procfs).toBe("/a b");
});

import { expect, test } from "bun:test";
import { mountOf, mounts, parseMountinfo } from "../../src/info/mountinfo.ts";

const TEXT = `22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:5 / /proc rw,nosuid - proc proc rw
40 22 0:50 / /mnt/a\\040b rw,nosuid shared:7 master:3 - fuse.qtfs /srv\\134x rw,user_id=0
41 22 0:51 / /mnt rw - tmpfs tmpfs rw
42 22 0:52 / /mnt rw - fuse.qtfs /srv rw
`;
const lines = parseMountinfo(TEXT);

test("fields are found behind any number of optional ones, and unescaped", () => {
  expect(lines).toHaveLength(5);
  expect(lines[2]).toEqual({
    id: 40,
    parent: 22,
    device: "0:50",
    root: "/",
    mountpoint: "/mnt/a b",
    isShared: true,
    type: "fuse.qtfs",
    source: "/srv\\x",
  });
});

test("what is shared is known by a field that need not be there", () => {
  expect(lines.map(({ isShared }) => isShared)).toEqual([true, false, true, false, false]);
});

test.each([
  ["/etc/passwd", "/", "ext4"],
  ["/", "/", "ext4"],
  ["/proc", "/proc", "proc"],
  ["/process", "/", "ext4"],
  ["/mnt/a b/c", "/mnt/a b", "fuse.qtfs"],
  ["/mnt/x", "/mnt", "fuse.qtfs"],
])("%p is in the mount at %p", (path, mountpoint, type) => {
  expect(mountOf(path, lines)).toMatchObject({ mountpoint, type });
});

test("this machine's own mounts can be read", () => {
  expect(mounts().some(({ mountpoint, type }) => mountpoint === "/proc" && type === "proc")).toBe(
    true,
  );
});

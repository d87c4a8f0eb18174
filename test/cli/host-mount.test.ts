/** What the options of a mount on the HOST ask for, and which of its paths a path here is. */
import { describe, expect, test } from "bun:test";
import { hostMountSteps } from "../../src/cli/host-mount-options.ts";
import { parseMountinfo } from "../../src/info/mountinfo.ts";
import { locate } from "../../src/onhost/places.ts";
import { MountAttr as A, MountFlag as F } from "../../src/wire/constants.ts";

describe("options", () => {
  test("flags are told from the file system's own options, of contrary ones the last counts", () => {
    const words = ["ro,size=1m", 'nodev,rw,x-a=b,context="a,b",mode=7,noexec'];
    expect(hostMountSteps("tmpfs", words)).toEqual([
      { kind: "new", flags: F.NODEV | F.NOEXEC, data: "size=1m,context=a,b,mode=7" },
    ]);
  });

  test("a bind with flags is a bind and a remount", () => {
    expect(hostMountSteps(undefined, ["bind"])).toEqual([
      { kind: "bind", flags: F.BIND, data: "" },
    ]);
    expect(hostMountSteps(undefined, ["rbind,ro"])).toEqual([
      { kind: "bind", flags: F.BIND | F.REC, data: "" },
      { kind: "change", flags: F.BIND | F.REMOUNT | F.RDONLY, data: "" },
    ]);
  });

  test("what holds for all mounts below is a call of its own", () => {
    const words = ["rbind,ro=recursive,noexec=recursive,relatime=recursive,size=recursive"];
    expect(hostMountSteps(undefined, words)).toEqual([
      { kind: "bind", flags: F.BIND | F.REC, data: "" },
      { kind: "attributes", flags: A.RDONLY | A.NOEXEC, clears: A.ATIME_MASK, data: "" },
    ]);
  });

  test("remounts, moves and propagation", () => {
    expect(hostMountSteps(undefined, ["remount,ro,size=2m"])).toEqual([
      { kind: "change", flags: F.REMOUNT | F.RDONLY, data: "size=2m" },
    ]);
    expect(hostMountSteps(undefined, ["move"])).toEqual([
      { kind: "move", flags: F.MOVE, data: "" },
    ]);
    expect(hostMountSteps("tmpfs", ["rprivate,shared"]).map(({ flags }) => flags)).toEqual([
      0,
      F.PRIVATE | F.REC,
      F.SHARED,
    ]);
    expect(hostMountSteps(undefined, ["private"])).toHaveLength(1);
  });

  test("what asks for nothing is a wrong argument", () => {
    expect(() => hostMountSteps(undefined, ["ro"])).toThrow("say what to mount");
  });
});

describe("places", () => {
  const lines = parseMountinfo(`22 1 0:20 / / rw - ext4 /dev/vda rw
40 22 0:50 / /mnt rw - fuse.qtfs /srv rw
41 40 0:51 / /mnt/a/tmp rw - fuse.qtfs /srv rw
42 22 0:51 /deep /elsewhere rw - fuse.qtfs /srv rw
43 22 0:50 /a /bound rw - fuse.qtfs /srv rw
44 22 0:60 / /other\\040mount rw - fuse.qtfs /var rw
45 22 0:61 / /dead rw - fuse.qtfs /x rw
`);
  const served = [{ target: "/mnt" }, { target: "/other mount" }];

  test.each([
    ["/mnt", 40, "/mnt", ""],
    ["/mnt/b/c", 40, "/mnt", "b/c"],
    ["/mnt/a/tmp", 41, "/mnt", "a/tmp"],
    ["/mnt/a/tmp/x", 41, "/mnt", "a/tmp/x"],
    ["/elsewhere/y", 42, "/mnt", "a/tmp/deep/y"],
    ["/bound/z", 43, "/mnt", "a/z"],
    ["/other mount/z", 44, "/other mount", "z"],
  ])("%p in mount %p is of %p: %p", (real, id, target, path) => {
    expect(locate(real, id, lines, served)).toEqual({ mount: { target }, path });
  });

  test.each([
    ["/etc", 22],
    ["/dead/x", 45],
    ["/gone", 99],
  ])("%p in mount %p is of none", (real, id) => {
    expect(locate(real, id, lines, served)).toBeUndefined();
  });
});

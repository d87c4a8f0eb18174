/** Lines of mountinfo, and which mounts can be seen. */
import { expect, test } from "bun:test";
import {
  type HostMount,
  isUnbindable,
  parseLine,
  visibleBelow,
} from "../../../src/server/mounts/mountlines.ts";
import { MountFlag } from "../../../src/wire/constants.ts";

const parse = (line: string) => parseLine(line, 7, 0) as HostMount;

test("fields are found behind any number of optional ones, and unescaped", () => {
  const line =
    "40 22 0:50 /r /mnt/a\\040b\\134\\012 ro,nosuid,noatime shared:7 master:3 - fuse.x\\040y a\\043b rw,user_id=0";
  expect(parse(line)).toEqual({
    number: 7,
    id: 40,
    parentId: 22,
    path: "/mnt/a b\\\n",
    flags: MountFlag.RDONLY | MountFlag.NOSUID | MountFlag.NOATIME,
    type: "fuse.x y",
    source: "a#b",
    origin: "0:50 /r",
    text: line,
    sinceNs: 0,
    rootType: 0,
    device: 0,
  });
  const { flags } = parse("1 0 0:1 / / rw,nodev,noexec,nodiratime,relatime,nosymfollow - t s rw");
  const { NODEV, NOEXEC, NODIRATIME, RELATIME, NOSYMFOLLOW } = MountFlag;
  expect(flags).toBe(NODEV | NOEXEC | NODIRATIME | RELATIME | NOSYMFOLLOW);
  expect(isUnbindable(parse("1 0 0:1 / /a rw shared:1 unbindable - t s rw"))).toBe(true);
  expect(isUnbindable(parse("1 0 0:1 / /a rw shared:1 - t s rw"))).toBe(false);
});

test.each(["", "1", "1 2 3 4 5 6 7 8", "1 2 0:1 / / rw shared:1"])("%p is no line", (line) => {
  expect(parseLine(line, 1, 0)).toBeUndefined();
});

/** Mounts `[id, parent, path]`, and what can be seen of them beneath `top`. */
function visible(mounts: [number, number, string][], top: string, max = 100): number[] {
  const all = mounts.map(([id, parent, path]) =>
    parse(`${id} ${parent} 0:1 / ${path} rw - t s rw`),
  );
  const children = Map.groupBy(all, ({ parentId }) => parentId);
  const base = all[0] as HostMount;
  return visibleBelow(base, top, children, ({ path }) => !path.endsWith("/no"), max).map(
    ({ id }) => id,
  );
}

test.each<[string, [number, number, string][], number[]]>([
  [
    "beneath the top alone",
    [
      [2, 1, "/s/a"],
      [3, 1, "/t"],
      [4, 1, "/sa"],
    ],
    [2],
  ],
  [
    "parents before children",
    [
      [2, 3, "/s/a/b"],
      [3, 1, "/s/a"],
      [4, 1, "/s/c"],
    ],
    [3, 2, 4],
  ],
  [
    "not what a mount on the same directory covers",
    [
      [2, 1, "/s/a"],
      [3, 2, "/s/a/x"],
      [4, 2, "/s/a"],
      [5, 4, "/s/a/y"],
    ],
    [4, 5],
  ],
  [
    "not what a mount on a directory above covers",
    [
      [2, 1, "/s/a/b"],
      [3, 2, "/s/a/b/c"],
      [4, 1, "/s/a"],
    ],
    [4],
  ],
  [
    "beside a mount whose name begins alike",
    [
      [2, 1, "/s/a"],
      [3, 1, "/s/ab"],
      [4, 1, "/s/a-/b"],
    ],
    [2, 3, 4],
  ],
  [
    "nothing where the top is covered",
    [
      [2, 1, "/s/a"],
      [3, 1, "/s"],
    ],
    [],
  ],
  [
    "nothing where a directory above the top is",
    [
      [2, 1, "/s/a"],
      [3, 1, "/"],
    ],
    [],
  ],
  [
    "nothing of what is refused, nor on it",
    [
      [2, 1, "/s/no"],
      [3, 2, "/s/no/b"],
      [4, 1, "/s/a"],
    ],
    [4],
  ],
  [
    "the newest of two in one place",
    [
      [2, 1, "/s/a"],
      [3, 1, "/s/a"],
    ],
    [3],
  ],
])("%s is seen", (_, mounts, seen) => {
  expect(visible([[1, 0, "/"], ...mounts], "/s")).toEqual(seen);
});

test("beneath the root is everything, up to a number", () => {
  const mounts = Array.from({ length: 50 }, (_, i): [number, number, string] => [
    i + 2,
    1,
    `/m${i}`,
  ]);
  expect(visible([[1, 0, "/"], ...mounts], "/").length).toBe(50);
  expect(visible([[1, 0, "/"], ...mounts], "/", 20).length).toBe(20);
});

/** The kernel's numbers as the wire's, on both machines. */
import { describe, expect, test } from "bun:test";
import { fuseDevice, wireDevice } from "../../src/client/native.ts";
import { openFlagTables } from "../../src/sys/arch.ts";
import {
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DSYNC,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
} from "../../src/sys/open.ts";
import { OpenFlag } from "../../src/wire/constants.ts";
import { evaluate } from "../sys/cprobe.ts";

/** What wireOpenFlags makes of `flags` where process.arch is `arch`, in a process of its own. */
function onMachine(arch: string, flags: number[]): number[] {
  const module = new URL("../../src/client/native.ts", import.meta.url).pathname;
  const script = `Object.defineProperty(process, "arch", { value: "${arch}" });
    const { wireOpenFlags } = await import("${module}");
    console.log(JSON.stringify([${flags}].map(wireOpenFlags)));`;
  const { stdout, stderr, success } = Bun.spawnSync([process.execPath, "-e", script]);
  if (!success) throw new Error(stderr.toString());
  return JSON.parse(stdout.toString());
}

const { READ, WRITE } = OpenFlag;

describe.each(["x64", "arm64"] as const)("open flags of %s", (arch) => {
  const { O_DIRECT, O_DIRECTORY, O_LARGEFILE, O_NOFOLLOW } = openFlagTables[arch];
  const expected: [flags: number, wire: number][] = [
    [O_RDONLY, READ],
    [O_WRONLY, WRITE],
    [O_RDWR, READ | WRITE],
    [O_WRONLY | O_APPEND, WRITE | OpenFlag.APPEND],
    [O_RDWR | O_TRUNC, READ | WRITE | OpenFlag.TRUNCATE],
    [O_WRONLY | O_CREAT | O_EXCL, WRITE | OpenFlag.EXCLUSIVE],
    [O_RDONLY | O_DIRECT, READ | OpenFlag.DIRECT],
    [O_WRONLY | O_DSYNC, WRITE | OpenFlag.DSYNC],
    [O_WRONLY | O_SYNC, WRITE | OpenFlag.SYNC | OpenFlag.DSYNC],
    [O_RDONLY | O_NONBLOCK, READ | OpenFlag.NONBLOCK],
    [O_RDONLY | O_NOATIME, READ | OpenFlag.NOATIME],
    // What the kernel keeps to itself does not cross the wire.
    [O_RDONLY | O_DIRECTORY | O_LARGEFILE | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, READ],
    [O_RDWR | O_DIRECT | O_APPEND | O_LARGEFILE, READ | WRITE | OpenFlag.DIRECT | OpenFlag.APPEND],
  ];

  test("as the wire's", () => {
    const wire = onMachine(
      arch,
      expected.map(([flags]) => flags),
    );
    expect(wire).toEqual(expected.map(([, flags]) => flags));
  });
});

describe("device numbers", () => {
  /** new_encode_dev and new_decode_dev of linux/kdev_t.h, in C. */
  const KDEV = `
    #define ENCODE(major, minor) (((minor) & 0xff) | ((major) << 8) | (((minor) & ~0xffu) << 12))
  `;
  const devices: [major: number, minor: number][] = [
    [0, 0],
    [1, 3],
    [8, 255],
    [8, 256],
    [300, 70_000],
    [4095, 0],
    [0, 0xfffff],
    [4095, 0xfffff],
  ];

  test("are major and minor in 12 and 20 bits, and back", () => {
    const expressions = devices.map(([major, minor]) => `(unsigned)ENCODE(${major}u, ${minor}u)`);
    const [encoded = []] = evaluate([{ includes: [], preamble: KDEV, expressions }]);
    const wire = devices.map(([major, minor]) => major * 2 ** 20 + minor);
    expect(encoded.map(wireDevice)).toEqual(wire);
    expect(wire.map(fuseDevice)).toEqual(encoded);
  });
});

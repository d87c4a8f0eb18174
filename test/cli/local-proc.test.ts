/** Whether the chroot of a mount with -o proc has what its processes need. */
import { expect, test } from "bun:test";
import { procWarnings } from "../../src/cli/local-proc.ts";

const line = (mountpoint: string, type = "proc") => ({ mountpoint, type });
const HERE = [line("/proc"), line("/root/proc", "fuse.qtfs")];

test("a chroot without this machine's procfs is warned of, with what to do", () => {
  const [warning, ...others] = procWarnings("/root/proc", HERE);
  expect(warning).toContain("below /root:");
  expect(warning).toContain("mount -t proc proc /root/local_proc");
  expect(others).toEqual([]);
  // What the mount covers, and what is beside the chroot, is of no use.
  const useless = [line("/root/proc"), line("/root2/local_proc"), line("/root/sys", "sysfs")];
  expect(procWarnings("/root/proc", [...HERE, ...useless])).toHaveLength(1);
});

test("one with it is not, nor a mount that is nobody's /proc", () => {
  expect(procWarnings("/root/proc", [...HERE, line("/root/local_proc")])).toEqual([]);
  expect(procWarnings("/root/proc", [...HERE, line("/root/run/proc")])).toEqual([]);
  expect(procWarnings("/mnt/of-the-host", HERE)).toEqual([]);
});

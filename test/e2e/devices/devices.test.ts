/** Devices of the HOST: their numbers are seen, and with -o dev=server they can be used. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mountTree, type Share } from "../support/mount.ts";
import { run, sh } from "../support/run.ts";

const MIB = 1 << 20;

let share: Share;
let host: string;
let here: string;
let loop: string;

beforeAll(async () => {
  share = await mountTree({ options: ["dev=server"], allow: ["device", "ioctl"] });
  host = share.tree;
  here = share.mountpoint;
  await sh(
    `mknod null c 1 3; mknod zero c 1 5; mknod full c 1 7; mknod random c 1 8; mknod urandom c 1 9
     mknod -m 0600 large b 259 1048575; mknod nobody c 4095 1048575
     chmod 666 null zero full random urandom; echo plain >file`,
    { cwd: host },
  );
  await sh(`truncate -s 4M ${share.bare}/disk`);
  loop = (await sh(`losetup --find --show ${share.bare}/disk`)).trim();
  await sh(`mknod block b $((0x$(stat -c %t ${loop}))) $((0x$(stat -c %T ${loop})))`, {
    cwd: host,
  });
});
afterAll(async () => {
  if (loop !== undefined) await run(["losetup", "--detach", loop]);
  await share.close();
});

describe("with dev=server", () => {
  test("devices are shown as files", () => {
    for (const name of ["null", "block"]) {
      const stat = lstatSync(`${here}/${name}`);
      expect([stat.isFile(), stat.mode & 0o777, stat.rdev]).toEqual([
        true,
        lstatSync(`${host}/${name}`).mode & 0o777,
        0,
      ]);
    }
    const entries = readdirSync(here, { withFileTypes: true });
    expect(entries.every((entry) => entry.isFile())).toBe(true);
  });

  test("null, zero, full and random do what they do", async () => {
    writeFileSync(`${here}/null`, "gone");
    expect(readFileSync(`${here}/null`).length).toBe(0);
    const zero = openSync(`${here}/zero`, "r+");
    const buffer = Buffer.alloc(3 * MIB, 1);
    expect(readSync(zero, buffer, 0, buffer.length, 0)).toBe(buffer.length);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
    expect(writeSync(zero, buffer)).toBe(buffer.length);
    closeSync(zero);
    expect(() => writeFileSync(`${here}/full`, "x")).toThrow("ENOSPC");
    const bytes = await sh(
      `head -c 100000 ${here}/urandom | sha1sum; head -c 16 ${here}/random | wc -c`,
    );
    expect(bytes).toMatch(/^[0-9a-f]{40} .*\n16\n$/);
  });

  test("one that is no device of the HOST's is ENXIO", () => {
    expect(() => openSync(`${here}/nobody`, "r")).toThrow("ENXIO");
  });

  test("a block device has its size, is written and read at any place, and is the HOST's", async () => {
    expect(await sh(`blockdev --getsize64 ${here}/block`)).toBe(`${4 * MIB}\n`);
    const fd = openSync(`${here}/block`, "r+");
    const text = Buffer.from("from the DPU");
    expect(writeSync(fd, text, 0, text.length, MIB + 5)).toBe(text.length);
    const back = Buffer.alloc(text.length);
    expect(readSync(fd, back, 0, back.length, MIB + 5)).toBe(back.length);
    expect(back.toString()).toBe("from the DPU");
    closeSync(fd);
    await sh(`blockdev --flushbufs ${loop}`);
    const onHost = readFileSync(`${share.bare}/disk`);
    expect(onHost.subarray(MIB + 5, MIB + 5 + text.length).toString()).toBe("from the DPU");
    const end = await sh(`dd if=${here}/block bs=1M skip=3 status=none | wc -c`);
    expect(end).toBe(`${MIB}\n`);
    expect(() => writeFileSync(`${here}/block`, Buffer.alloc(5 * MIB))).toThrow("ENOSPC");
  });

  test("programs that copy files copy to and from it", async () => {
    const image = `${share.bare}/image`;
    await sh(`head -c ${4 * MIB} /dev/urandom >${image}`);
    await sh(`cp ${image} ${here}/block && cmp ${image} ${here}/block`);
    const dd = ["dd", "if=/dev/zero", `of=${here}/block`, "bs=1M", "seek=3", "count=1"];
    expect(await run([...dd, "status=none"])).toEqual({ code: 0, stdout: "", stderr: "" });
    await sh(`dd if=/dev/zero of=${image} bs=1M seek=3 count=1 status=none`);
    await sh(`rm -f ${image}.back && cp ${here}/block ${image}.back && cmp ${image} ${image}.back`);
    await sh(
      `cmp ${image} ${share.bare}/disk || (sync ${loop} && cmp ${image} ${share.bare}/disk)`,
    );
  });

  test("a file system is made and checked on it", async () => {
    await sh(`mkfs.ext4 -q -F ${here}/block && e2fsck -fn ${here}/block`);
    expect(await sh(`blkid -o value -s TYPE -p ${loop}`)).toBe("ext4\n");
  });

  test("one is made here, and used at once", async () => {
    await sh(`mknod -m 666 made c 1 5 && head -c 3 made | wc -c && rm made`, { cwd: here });
  });

  test("other files are as ever", () => {
    expect(readFileSync(`${here}/file`, "utf8")).toBe("plain\n");
    expect(statSync(`${here}/file`).size).toBe(6);
  });
});

describe("without it", () => {
  test("numbers are shown, large ones too, and opening is EACCES", async () => {
    await share.umount();
    await share.mount([]);
    try {
      for (const name of ["null", "large", "nobody", "block"]) {
        const [seen, is] = [lstatSync(`${here}/${name}`), lstatSync(`${host}/${name}`)];
        expect([name, seen.rdev, seen.mode]).toEqual([name, is.rdev, is.mode]);
      }
      expect(await sh(`stat -c %t:%T ${here}/large`)).toBe("103:fffff\n");
      expect(() => openSync(`${here}/null`, "r")).toThrow("EACCES");
      await sh("mknod made-here b 259 1048575", { cwd: here });
      expect(await sh(`stat -c %t:%T ${host}/made-here`)).toBe("103:fffff\n");
    } finally {
      await share.umount();
      await share.mount(["dev=server"]);
    }
  });

  test("nor do they open where the export does not allow it", async () => {
    const strict = await mountTree({ options: ["dev=server"] });
    try {
      await sh(`mknod -m 666 ${strict.tree}/null c 1 3`);
      expect(() => openSync(`${strict.mountpoint}/null`, "r")).toThrow("EACCES");
    } finally {
      await strict.close();
    }
  });
});

import { afterAll, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";

const share = await mountTree();
afterAll(share.close);
const here = { cwd: share.mountpoint };

const sum = async (path: string) => (await sh(`sha1sum < ${path}`)).slice(0, 40);
const allocatedBytes = async (path: string) => 512 * Number(await sh(`stat -c %b ${path}`, here));
const MEBIBYTE = 1 << 20;

await sh("head -c 20M /dev/urandom > random", { cwd: share.bare });
const RANDOM = `${share.bare}/random`;
const randomSum = await sum(RANDOM);

test.each([
  ["large blocks", "bs=1M"],
  ["odd blocks", "bs=12345"],
  ["O_DIRECT", "bs=512K oflag=direct"],
  ["O_SYNC", "bs=4M oflag=sync"],
  ["a final fsync", "bs=128K conv=fsync"],
])("dd writes and reads back with %s", async (_how, options) => {
  await sh(`dd if=${RANDOM} of=dd ${options} status=none`, here);
  expect(await sum(`${share.tree}/dd`)).toBe(randomSum);
  await sh(`dd if=dd of=${share.bare}/dd bs=64K status=none`, here);
  expect(await sum(`${share.bare}/dd`)).toBe(randomSum);
  await sh("rm dd", here);
});

test("dd changes the middle of a file and appends to it", async () => {
  const edit = `dd if=/dev/zero of=edited bs=1000 seek=777 count=3 conv=notrunc status=none
    printf tail | dd of=edited oflag=append conv=notrunc status=none`;
  for (const cwd of [share.mountpoint, share.bare]) {
    await sh(`cp ${RANDOM} edited && ${edit}`, { cwd });
  }
  expect(await sum(`${share.mountpoint}/edited`)).toBe(await sum(`${share.bare}/edited`));
  expect(await sum(`${share.tree}/edited`)).toBe(await sum(`${share.bare}/edited`));
});

test("fallocate reserves, zeroes and punches", async () => {
  await sh("fallocate -l 8M reserved", here);
  expect(await sh("stat -c %s reserved", here)).toBe(`${8 * MEBIBYTE}\n`);
  expect(await allocatedBytes("reserved")).toBeGreaterThanOrEqual(8 * MEBIBYTE);
  await sh("fallocate -l 4M --offset 8M --keep-size reserved", here);
  expect(await sh("stat -c %s reserved", here)).toBe(`${8 * MEBIBYTE}\n`);

  await sh(`cp ${RANDOM} punched && fallocate --punch-hole -o 4M -l 8M punched`, here);
  await sh("fallocate --zero-range -o 1M -l 1M punched", here);
  expect(await allocatedBytes("punched")).toBeLessThanOrEqual(12 * MEBIBYTE + 65536);
  const same = `cmp <(head -c 1M punched) <(head -c 1M ${RANDOM})
    cmp <(head -c 2M punched | tail -c 1M) <(head -c 1M /dev/zero)
    cmp <(head -c 12M punched | tail -c 8M) <(head -c 8M /dev/zero)
    cmp <(tail -c 8M punched) <(tail -c 8M ${RANDOM})`;
  await sh(same, here);
  await sh(same, { cwd: share.tree });
});

test("cp keeps, makes and fills holes as told", async () => {
  await sh(
    "truncate -s 30M holes && echo data | dd of=holes seek=20000 conv=notrunc status=none",
    here,
  );
  const size = await allocatedBytes("holes");
  expect(size).toBeLessThanOrEqual(65536);
  for (const how of ["auto", "always", "never"]) {
    await sh(`cp --sparse=${how} holes holes-${how} && cmp holes holes-${how}`, here);
  }
  expect(await allocatedBytes("holes-auto")).toBe(size);
  expect(await allocatedBytes("holes-always")).toBe(size);
  expect(await allocatedBytes("holes-never")).toBeGreaterThanOrEqual(30 * MEBIBYTE);
  expect(
    await sh("cp --sparse=always holes-never again && cmp holes again && stat -c %b again", here),
  ).toBe(await sh("stat -c %b holes", here));
});

test("cp and mv within the mount, in and out", async () => {
  await sh(
    `cp -p ${RANDOM} a && cp a b && mv b c && ln c d && mv -T c e && cmp a e && cmp a d`,
    here,
  );
  expect(await sh("stat -c %h d", here)).toBe("2\n");
  await sh(`mv e ${share.bare}/moved && test ! -e e`, here);
  expect(await sum(`${share.bare}/moved`)).toBe(randomSum);
  await sh(
    `mkdir -p x/y && cp a x/y && mv x ${share.bare}/x && mv ${share.bare}/x x2 && cmp a x2/y/a`,
    here,
  );
  expect(await sum(`${share.tree}/x2/y/a`)).toBe(randomSum);
});

test("split, cat, sort and truncate give back the same bytes", async () => {
  await sh(
    `split -b 777777 ${RANDOM} part- && cat part-* | cmp - ${RANDOM} && rm part-*
     seq 200000 | shuf --random-source=${RANDOM} > shuffled && sort -n -T . shuffled | cmp - <(seq 200000)
     cp ${RANDOM} cut && truncate -s 12345678 cut && truncate -s +1000 cut`,
    here,
  );
  await sh(`cmp <(head -c 12345678 ${RANDOM}; head -c 1000 /dev/zero) cut`, { cwd: share.tree });
});

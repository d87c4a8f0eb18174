/** mount(2), umount2(2) and statfs(2) of programs under a supervisor. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Stage } from "./stage.ts";

const TMPFS = "1021994";
const OVERLAY = "794c7630";
const FUSE = "65735546";
const PROC = "9fa0";
const [RDONLY, REMOUNT, BIND, MOVE, SHARED, REC] = [1, 32, 4096, 8192, 1 << 20, 16_384];
const DETACH = 2;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

test("what is mounted on a share is the HOST's, and seen here when the call returns", async () => {
  const at = stage.directory("a");
  const printed = await stage.lines(`
    ${stage.program} in ${at} mount mine a tmpfs 0 size=1m
    echo from the DPU >${at}/a/file
    grep -c ' ${at}/a ' /proc/self/mountinfo
    grep NoNewPrivs /proc/self/status`);
  expect(printed).toEqual(["0", "1", "NoNewPrivs:\t0"]);
  expect(await stage.onHost(at)).toEqual({ a: "tmpfs" });
  expect(await stage.host.sh(`cat ${at}/a/file`)).toBe("from the DPU\n");
  const gone = await stage.lines(`
    ${stage.program} umount ${at}/a 0
    grep -c ' ${at}/a ' /proc/self/mountinfo || :
    ls ${at}/a
    ${stage.program} umount ${at}/a 0`);
  expect(gone).toEqual(["0", "0", "EINVAL"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("statfs(2) tells what the HOST has there", async () => {
  const at = stage.directory("a", "lower", "upper", "work", "merged");
  writeFileSync(`${at}/lower/file`, "below\n");
  const plain = (await stage.host.sh(`${stage.program} statfs ${at}`)).trim();
  const printed = await stage.calls(
    `statfs ${at}`,
    `mount none ${at}/a tmpfs 0 -`,
    `statfs ${at}/a`,
    `fstatfs ${at}/a`,
    `in ${at} mount none merged overlay 0 lowerdir=lower,upperdir=upper,workdir=${at}/work`,
    `statfs ${at}/merged/file`,
    `user 65534 statfs ${at}/merged/file`,
    "statfs /proc",
    "fstatfs /proc",
    `statfs ${at}/nowhere`,
    `umount ${at}/merged ${DETACH}`,
    `umount ${at}/a 0`,
  );
  const expected = [
    plain,
    "0",
    TMPFS,
    TMPFS,
    "0",
    OVERLAY,
    OVERLAY,
    PROC,
    PROC,
    "ENOENT",
    "0",
    "0",
  ];
  expect(printed).toEqual(expected);
  expect((await stage.dpu.sh(`${stage.program} statfs ${at}`)).trim()).toBe(FUSE);
});

test("binds, remounts and propagation happen on the HOST", async () => {
  const at = stage.directory("a/below", "b");
  writeFileSync(`${at}/a/file`, "");
  const printed = await stage.calls(
    `mount none ${at}/a/below tmpfs 0 -`,
    `mount ${at}/a ${at}/b - ${BIND | REC} -`,
    `in ${at} mount - b - ${BIND | REMOUNT | RDONLY} -`,
    `mount - ${at}/b - ${SHARED} -`,
  );
  expect(printed).toEqual(["0", "0", "0", "0"]);
  const options = `findmnt --noheadings --output VFS-OPTIONS,PROPAGATION ${at}/b`;
  expect(await stage.host.sh(options)).toMatch(/^ro,.*\sshared/);
  const { stderr } = await stage.dpu.run(["touch", `${at}/b/file`]);
  expect(stderr).toContain("Read-only file system");
  expect(await stage.calls(`umount ${at}/b 0`, `umount ${at}/b ${DETACH}`)).toEqual(["EBUSY", "0"]);
  expect(await stage.calls(`umount ${at}/a/below 0`)).toEqual(["0"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("what is mounted below comes along, and is seen when the call returns", async () => {
  const at = stage.directory("a/x", "a/y/z", "b", "c");
  const seen = (name: string) => `grep -c ' ${at}/${name}[ /]' /proc/self/mountinfo`;
  const printed = await stage.lines(`
    for name in x y y/z; do
      ${stage.program} mount none ${at}/a/$name tmpfs 0 - >/dev/null
      [ $name != y ] || mkdir ${at}/a/y/z
    done
    ${stage.program} mount ${at}/a ${at}/b - ${BIND | REC} -
    ${seen("b")}
    ${stage.program} mount ${at}/b ${at}/c - ${MOVE} -
    ${seen("c")}
    ${seen("b")} || :
    ${stage.program} umount ${at}/c ${DETACH}
    ${stage.program} umount ${at}/a/y ${DETACH}
    ${stage.program} umount ${at}/a/x 0`);
  expect(printed).toEqual(["0", "4", "0", "4", "0", "0", "0", "0"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("an overlay of so many layers that their paths are relative", async () => {
  const names = Array.from(
    { length: 100 },
    (_, i) => `l/${"layer-of-a-name-that-is-long".slice(0, 26)}${i}`,
  );
  const at = stage.directory(...names, "upper", "work", "merged");
  for (const name of names) writeFileSync(`${at}/${name}/${name.slice(2)}`, "");
  const options = `lowerdir=${names.join(":")},upperdir=upper,workdir=work`;
  expect(options.length + 100 * at.length).toBeGreaterThan(4096);
  const [mounted, count] = await stage.lines(`
    ${stage.program} in ${at} mount overlay merged overlay 0 ${options}
    ls ${at}/merged | wc -l`);
  expect([mounted, count]).toEqual(["0", "100"]);
  expect(await stage.onHost(at)).toEqual({ merged: "overlay" });
  expect(await stage.calls(`umount ${at}/merged 0`)).toEqual(["0"]);
});

test("what is not on a share, or only this machine's, is done here", async () => {
  const at = stage.directory("a", "b");
  await stage.dpu.sh("mkdir -p /run/own/a /run/own/b");
  const printed = await stage.calls(
    "mount none /run/own/a tmpfs 0 -",
    `mount ${at}/a /run/own/b - ${BIND} -`,
    `mount /run/own/a ${at}/b - ${BIND} -`,
    `statfs ${at}/b`,
    `private mount none ${at}/a tmpfs 0 -`,
    `mount none ${at}/a fuse.nothing 0 -`,
    `user 65534 mount none ${at}/a tmpfs 0 -`,
    `umount ${at}/b 0`,
    "umount /run/own/b 0",
    "umount /run/own/a 0",
  );
  expect(printed).toEqual(["0", "0", "0", TMPFS, "0", "EINVAL", "EPERM", "0", "0", "0"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("errors are the HOST's, word for word", async () => {
  const at = stage.directory("a");
  writeFileSync(`${at}/file`, "");
  const calls = [
    `mount none ${at}/a nosuchtype 0 -`,
    `mount none ${at}/file tmpfs 0 -`,
    `mount none ${at}/nowhere tmpfs 0 -`,
    `mount none ${at}/a tmpfs 0 size=much`,
    `mount ${at}/file ${at}/a - ${BIND} -`,
    `umount ${at}/a 0`,
    `umount ${at}/a 64`,
    `umount ${at}/nowhere 0`,
    `mount - ${at}/a - ${REMOUNT} -`,
  ];
  const native = await stage.host.sh(calls.map((words) => `${stage.program} ${words}`).join("\n"));
  expect(await stage.calls(...calls)).toEqual(native.trimEnd().split("\n"));
});

test("a program in a root of its own, and the programs that it starts", async () => {
  const at = stage.directory("root/inner", "root/bin");
  await stage.host.sh(`cp ${stage.program} ${at}/root/bin/calls`);
  const [mounted] = await stage.lines(
    `${stage.program} root ${at}/root mount none /inner tmpfs 0 -`,
  );
  expect(mounted).toBe("0");
  const inside = `chroot ${at}/root /bin/calls`;
  const printed = await stage.lines(`
    ${inside} statfs /../inner
    ${inside} statfs ${at}/root/inner
    ${inside} in /inner umount ../inner ${DETACH}`);
  expect(printed).toEqual([TMPFS, "ENOENT", "0"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("many at once, each once", async () => {
  const at = stage.directory(...Array.from({ length: 20 }, (_, i) => `d${i}`));
  const each = (command: string) =>
    `for i in $(seq 0 19); do ${stage.program} ${command} >>${at}/said 2>&1 & done; wait`;
  await stage.lines(`${each(`mount none ${at}/d$i tmpfs 0 -`)}; ${each(`statfs ${at}/d$i`)}; echo`);
  expect(Object.keys(await stage.onHost(at))).toHaveLength(20);
  await stage.lines(`${each(`umount ${at}/d$i 0`)}; echo`);
  expect(await stage.onHost(at)).toEqual({});
  const said = (await stage.host.sh(`sort ${at}/said | uniq -c`)).trim().split(/\s+/);
  expect(said).toEqual(["40", "0", "20", TMPFS]);
});

test("the supervisor ends after the last of its programs", async () => {
  const process = stage.dpu.spawn(stage.under(["sh", "-c", "echo ready; read -r word"]));
  await process.prints("ready");
  const info = await stage.dpu.sh("ls /run/qtfs/control");
  expect(info).toContain("supervisor-");
  process.closeStdin();
  await process.ended();
  await stage.dpu.sh("while ls /run/qtfs/control | grep -q supervisor-; do sleep 0.02; done");
  await stage.dpu.sh("while pgrep -f '[q]tfs supervis' >/dev/null; do sleep 0.02; done");
});

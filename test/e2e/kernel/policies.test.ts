/** What a mount says of the HOST's file systems in its tree, and what the configuration changes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { run, sh } from "../support/run.ts";
import { QTFS, type Server, startServer } from "../support/server.ts";

let directory = "";
let tree = "";
let mountpoint = "";
let server: Server;

interface FileSystem {
  path: string;
  type: string;
  magic: number;
  policy: string;
}

async function fileSystems(): Promise<FileSystem[]> {
  const { daemons } = JSON.parse(await sh(`${QTFS} info ${mountpoint} --json`));
  return daemons[0].fileSystems;
}

/** Makes the page cache of the mount hold `name`, then has the HOST change it unseen by fanotify. */
function readTwice(name: string): [string, string] {
  writeFileSync(`${tree}/${name}`, "before");
  const before = readFileSync(`${mountpoint}/${name}`, "utf8");
  writeFileSync(`${tree}/${name}`, "after, and longer");
  return [before, readFileSync(`${mountpoint}/${name}`, "utf8")];
}

beforeAll(async () => {
  directory = mkdtempSync(`${process.env.TMPDIR ?? "/var/tmp"}/policies-`);
  tree = `${directory}/host`;
  mountpoint = `${directory}/mnt`;
  for (const path of [tree, mountpoint, `${tree}/state`, `${tree}/tmp dir`, `${tree}/cached`]) {
    mkdirSync(path);
  }
  await sh(`mount -t tmpfs none "${tree}/tmp dir"`);
  writeFileSync(`${tree}/tmp dir/file`, "in memory");
  writeFileSync(`${tree}/state/file`, "in state");
  writeFileSync(
    `${directory}/server.toml`,
    `[[export]]\npath = "${tree}"\n\n[[policy]]\npath = "${tree}/state"\npolicy = "live"\n\n` +
      `[[policy]]\ntype = "tmpfs"\npolicy = "short"\n`,
  );
  server = await startServer(tree, directory, [], ["--config", `${directory}/server.toml`]);
  await sh(`${QTFS} mount -o server=${server.address} ${tree} ${mountpoint}`);
  // The HOST's mounts come a moment later.
  await sh(`until [ -e "${mountpoint}/tmp dir/file" ]; do sleep 0.02; done`, { timeoutMs: 30_000 });
});

afterAll(async () => {
  await run(["umount", "--lazy", mountpoint]);
  await server?.stop();
  await run(["umount", "--lazy", `${tree}/tmp dir`]);
  rmSync(directory, { recursive: true, force: true });
});

test("info shows each file system that was met, and each rule for a directory", async () => {
  expect(readFileSync(`${mountpoint}/tmp dir/file`, "utf8")).toBe("in memory");
  expect(readFileSync(`${mountpoint}/state/file`, "utf8")).toBe("in state");
  const shown = await fileSystems();
  const type = (await sh(`stat -f -c %t ${tree}`)).trim();
  expect(shown.map(({ path, policy }) => [path, policy]).slice(1)).toEqual([
    ["state", "live"],
    ["tmp dir", "short"],
  ]);
  expect(shown[0]).toMatchObject({ path: "", magic: Number.parseInt(type, 16) });
  expect(shown[2]).toMatchObject({ type: "tmpfs", magic: 0x01021994 });
  const text = await sh(`${QTFS} info ${mountpoint}`);
  expect(text).toMatch(/^ {2}file system +tmp dir: tmpfs, short$/m);
  expect(text).toMatch(/^ {2}file system +state: \w+, live$/m);
  expect(await sh(`${QTFS} info ${server.address}`)).toMatch(/^ {2}policy +tmpfs: short$/m);
});

test("what is live is read anew each time, whatever else is cached", () => {
  expect(readTwice("state/fresh")).toEqual(["before", "after, and longer"]);
  expect(readTwice("tmp dir/fresh")).toEqual(["before", "after, and longer"]);
});

test("another mount process, or server, shows the same", async () => {
  const before = await fileSystems();
  await sh(`${QTFS} mount --takeover -o server=${server.address} ${tree} ${mountpoint}`);
  const deadlineMs = Date.now() + 30_000;
  while (Date.now() < deadlineMs && (await fileSystems()).length < before.length) {
    await Bun.sleep(20);
  }
  expect(await fileSystems()).toEqual(before);
});

test.each([
  ['type = "ext5"\npolicy = "live"', 'no file system is of type "ext5", did you mean ext4?'],
  ['type = "proc"\npolicy = "short"', "files of proc are made when they are read"],
  ['path = "/nowhere"\npolicy = "live"', "There is a policy for /nowhere, which is not exported"],
])("a table %p is refused in one sentence", async (table, sentence) => {
  const path = `${directory}/bad.toml`;
  writeFileSync(path, `[[export]]\npath = "${tree}"\n[[policy]]\n${table}\n`);
  const listen = ["--listen", `unix://${directory}/bad.sock`];
  const { code, stderr } = await run([QTFS, "server", "--config", path, ...listen]);
  expect(code).not.toBe(0);
  expect(stderr).toContain(sentence);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});

/**
 * pcie:// over a file in shared memory: files, sockets' streams, programs; what becomes of the
 * session when a side is killed, and when the memory is pulled.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { talkDuring } from "../../fault/streams/talk.ts";
import { until } from "../support/program.ts";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

const directory = mkdtempSync(`${tmpdir()}/pcie-`);
/** Without a futex of its own a file could not wake anybody: a tmpfs, as a BAR is no disk. */
const link = mkdtempSync("/dev/shm/pcie-");
const address = `pcie://${link}/bar`;
const logFile = `${directory}/log`;
const server: { child: Bun.Subprocess | undefined } = { child: undefined };
const others: Bun.Subprocess[] = [];

const log = () => readFileSync(logFile, "utf8");

function start(words: string[]): Bun.Subprocess {
  const output = openSync(logFile, "a");
  const child = Bun.spawn([QTFS, ...words], { stdio: ["ignore", output, output] });
  closeSync(output);
  return child;
}

async function serve(): Promise<void> {
  const before = log().length;
  server.child = start(["server", "--listen", address, "--export", `${directory}/tree`]);
  await until(() => log().slice(before).includes("Listening at"), log);
}

const mount = (where = address) =>
  run([QTFS, "mount", "-o", `server=${where}`, `${directory}/tree`, `${directory}/mnt`], {
    timeoutMs: 30_000,
  });

beforeAll(async () => {
  writeFileSync(logFile, "");
  for (const name of ["tree", "mnt"]) mkdirSync(`${directory}/${name}`);
  writeFileSync(`${directory}/tree/file`, "text");
  await serve();
  expect(await mount()).toMatchObject({ code: 0, stderr: "" });
}, 60_000);

afterAll(async () => {
  await run(["umount", "-l", `${directory}/mnt`]);
  for (const child of [server.child, ...others]) {
    child?.kill("SIGINT");
    await child?.exited;
  }
  for (const place of [directory, link]) rmSync(place, { recursive: true });
});

test("files", async () => {
  expect(await sh(`cat ${directory}/mnt/file`)).toBe("text");
  await sh(`cd ${directory}
    dd if=/dev/urandom of=mnt/large bs=1M count=24 status=none
    cmp mnt/large tree/large
    dd if=mnt/large of=copy bs=300001 iflag=direct status=none
    cmp copy tree/large
    mkdir mnt/many && touch mnt/many/{1..500} && [ "$(ls mnt/many | wc -l)" = 500 ]
    mv mnt/large mnt/larger && rm -r mnt/many && ls tree`);
}, 60_000);

test("many at once", async () => {
  await sh(`cd ${directory}/mnt
    for i in {1..8}; do (dd if=larger of=part$i bs=64K count=50 status=none && cmp -n 3276800 larger part$i) & done
    for job in $(jobs -p); do wait $job; done
    rm part*`);
}, 60_000);

test("a killed server: the next one goes on with the session", async () => {
  const file = openSync(`${directory}/mnt/file`, "r");
  server.child?.kill("SIGKILL");
  await server.child?.exited;
  const reading = sh(`cat ${directory}/mnt/file`, { timeoutMs: 40_000 });
  await serve();
  expect(await reading).toBe("text");
  expect(readFileSync(file, "latin1")).toBe("text");
  closeSync(file);
}, 60_000);

test("a connection to a socket, while the server is killed", async () => {
  const place = { directory, tree: `${directory}/tree`, mountpoint: `${directory}/mnt` };
  const said = await talkDuring(place, async () => {
    server.child?.kill("SIGKILL");
    await server.child?.exited;
    await serve();
  });
  expect(said).toBe("whole\n");
}, 90_000);

test("memory that is pulled: the server makes it anew, and the session goes on", async () => {
  const pulls = [() => truncateSync(`${link}/bar`, 0), () => rmSync(`${link}/bar`)];
  for (const [i, pull] of pulls.entries()) {
    writeFileSync(`${directory}/tree/pulled${i}`, "text");
    pull();
    await until(() => existsSync(`${link}/bar`) && statSync(`${link}/bar`).size > 0, log);
    expect(await sh(`cat ${directory}/mnt/pulled${i}`, { timeoutMs: 40_000 })).toBe("text");
  }
}, 60_000);

test("memory that is pulled and comes back with another server: a lost connection", async () => {
  truncateSync(`${link}/bar`, 0);
  // A file of another inode: nobody has it, as after a device was plugged in again.
  rmSync(`${link}/bar`);
  const reading = sh(`cat ${directory}/mnt/file`, { timeoutMs: 40_000 });
  server.child?.kill();
  await server.child?.exited;
  await serve();
  expect(await reading).toBe("text");
}, 60_000);

test("programs, at another port of the link", async () => {
  const words = ["--listen", `${address}:1`, "--allow", "/usr/bin/*"];
  const before = log().length;
  others.push(start(["rexec-server", ...words]));
  await until(() => log().slice(before).includes("keeps the programs"), log);
  const rexec = `${QTFS} rexec --server ${address}:1`;
  expect(await sh(`${rexec} uname -s`)).toBe("Linux\n");
  await sh(
    `cd ${directory} && [ "$(<tree/larger ${rexec} sha256sum)" = "$(sha256sum <tree/larger)" ]`,
  );
  const { code } = await run([...rexec.split(" "), "bash", "-c", "exit 7"]);
  expect(code).toBe(7);
}, 60_000);

test("who does not listen is said at once", async () => {
  const { code, stderr } = await run([QTFS, "mount", "-o", `server=${address}:9`, "/", "/mnt"]);
  expect(code).toBe(1);
  expect(stderr).toContain(`No server listens at ${address}:9`);
  const second = await run([QTFS, "server", "--listen", address, "--export", "/"]);
  expect(second.stderr).toContain(`${address}`);
  expect(second.code).toBe(1);
}, 60_000);

/** A terminal of the HOST's through the mount: bytes both ways, waiting, settings, hangup. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { buildPty, endTalks, eventually, openPair, Talk } from "../../support/pty.ts";
import { run, sh } from "../support/run.ts";
import { QTFS, type Server, startServer } from "../support/server.ts";

const directory = mkdtempSync("/var/tmp/qtfs-terminals-");
/** A devpts of the test's own. */
const host = `${directory}/host`;
const here = `${directory}/mnt`;
let program: string;
let server: Server;

beforeAll(async () => {
  for (const path of [host, here]) mkdirSync(path);
  program = await buildPty(directory);
  await sh(`mount -t devpts -o newinstance,ptmxmode=0666 devpts ${host}`);
  server = await startServer(host, directory, ["device", "ioctl"]);
  await sh(`${QTFS} mount -o server=${server.address},dev=server ${host} ${here}`);
});
afterEach(endTalks);
afterAll(async () => {
  await run(["umount", here]);
  await run(["umount", "--force", "--lazy", here]);
  await server?.stop();
  await run(["umount", "--lazy", host]);
  rmSync(directory, { recursive: true });
});

const pair = (ptmx = `${host}/ptmx`) => openPair(program, ptmx);

test("bytes go both ways", async () => {
  const [master, name] = await pair();
  const reader = new Talk("cat", `${here}/${name}`);
  master.say("one line\n");
  await reader.prints("one line\n");
  await sh(`printf 'from the DPU\\n' >${here}/${name}`);
  await master.prints("from the DPU");
  master.say("another\n");
  await reader.prints("another\n");
});

test("much goes through whole", async () => {
  const [master, name] = await pair();
  const reader = new Talk("head", "-c", "200000", `${here}/${name}`);
  for (let i = 0; i < 100; i++) master.say("x".repeat(2000));
  expect(await reader.ended()).toBe(0);
  await eventually(
    () => reader.output.length === 200_000,
    () => `${reader.output.length} bytes`,
  );
});

test("who reads does not keep others from writing through the same descriptor", async () => {
  const [master, name] = await pair();
  const both = new Talk(program, "both", `${here}/${name}`, "question");
  await master.prints("question");
  master.say("answer");
  await both.prints("read answer");
  expect(await both.ended()).toBe(0);
});

test("who waits to read can be interrupted and killed", async () => {
  const [master, name] = await pair();
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const reader = new Talk("cat", `${here}/${name}`);
    master.say("begun");
    await reader.prints("begun");
    reader.child.kill(signal);
    expect(await reader.ended()).toBe(signal);
  }
});

test("who does not want to wait gets EAGAIN, by open and by fcntl", async () => {
  const [, name] = await pair();
  const dd = await run(["dd", `if=${here}/${name}`, "iflag=nonblock", "count=1", "status=none"]);
  expect([dd.code, dd.stderr]).toEqual([1, expect.stringContaining("temporarily unavailable")]);
  const later = `open my $f, '<', '${here}/${name}' or die; use Fcntl;
    fcntl($f, F_SETFL, O_NONBLOCK) or die; sysread($f, my $x, 1); print $!{EAGAIN} ? 'again' : $!`;
  expect(await sh(`perl -MErrno -e "$SCRIPT"`, { env: { SCRIPT: later } })).toBe("again");
});

test("poll wakes who waits", async () => {
  const [master, name] = await pair();
  const waiter = new Talk(program, "poll", `${here}/${name}`);
  await waiter.prints("waits");
  master.say("wake up");
  await waiter.prints("in wake up");
});

test("when the master goes away readers end, and poll says so", async () => {
  const [master, name] = await pair();
  const reader = new Talk("cat", `${here}/${name}`);
  const waiter = new Talk(program, "poll", `${here}/${name}`);
  await waiter.prints("waits");
  master.say("x");
  await eventually(
    () => reader.output + waiter.output !== "waits\n",
    () => "the byte",
  );
  master.child.kill("SIGKILL");
  expect(typeof (await reader.ended())).toBe("number");
  expect(await waiter.ended()).toBe(0);
});

test("settings that FUSE can carry are the HOST's; it is no terminal to isatty", async () => {
  const [, name] = await pair();
  expect(await sh(`stty -F ${host}/${name} echo && ${program} settings ${here}/${name}`)).toBe(
    "isatty 0\n",
  );
  expect(await sh(`stty -a -F ${host}/${name}`)).toContain(" -echo ");
});

test("a pair is made through the mount", async () => {
  const [master, name] = await pair(`${here}/ptmx`);
  const reader = new Talk("cat", `${host}/${name}`);
  master.say("from the DPU's master\n");
  await reader.prints("from the DPU's master\n");
  master.child.stdin.end();
  expect(await master.ended()).toBe(0);
  expect(typeof (await reader.ended())).toBe("number");
});

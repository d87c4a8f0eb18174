/** Devices and what else is no file: opened where that is allowed, read once, never in the way. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { E } from "../../src/sys/errno.ts";
import { Ioctl, OpenFlag, OpenResult, StreamFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op } from "../../src/wire/ops.ts";
import type { RawClient } from "../support/client.ts";
import { buildPty, endTalks, openPair, type Talk } from "../support/pty.ts";
import { TestServer } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const scratch = mkdtempSync("/dev/shm/qtfs-devices-");
const terminals = join(scratch, "pts");
let program: string;
let server: TestServer;

function sh(script: string, cwd = scratch): void {
  const { exitCode, stderr } = Bun.spawnSync(["bash", "-ec", script], { cwd });
  if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
}

beforeAll(async () => {
  mkdirSync(terminals);
  sh(
    "mount -t devpts -o newinstance,ptmxmode=0666 devpts pts; mkdir plain; mknod plain/null c 1 3",
  );
  program = await buildPty(scratch);
  server = await TestServer.start({
    below: "/dev/shm",
    exports: [
      { path: terminals, readOnly: false, allow: ["device", "ioctl"] },
      { path: join(scratch, "plain"), readOnly: false, allow: ["device"] },
    ],
    prepare: ({ share }) => sh("mknod null c 1 3; mkfifo fifo; echo x >file", share),
  });
});
afterEach(() => {
  server.hangUp();
  endTalks();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  sh("umount --lazy pts");
  rmSync(scratch, { recursive: true });
});

const lookup = (client: RawClient, name: string) => client.ok("LOOKUP", 1, name)[0] as number;

/** A terminal opened by a client: the client, its handle, the process at the other end. */
async function terminal(): Promise<[RawClient, number, Talk]> {
  const [master, name] = await openPair(program, join(terminals, "ptmx"));
  const client = server.client(terminals);
  const [handle, result] = client.ok("OPEN", lookup(client, name), RDWR, 0);
  expect(result).toBe(OpenResult.UNSIZED | OpenResult.STREAM);
  return [client, handle as number, master];
}

test("a device is not opened where the export does not allow it, a FIFO never", async () => {
  const client = server.client();
  expect(client.errno("OPEN", lookup(client, "null"), RDWR, 0)).toBe(E.EACCES);
  const writer = Bun.spawn(["bash", "-c", "exec 3>fifo; echo open"], {
    cwd: server.share,
    stdout: "pipe",
  });
  const fifo = lookup(client, "fifo");
  for (let i = 0; i < 100; i++) {
    expect(client.errno("OPEN", fifo, OpenFlag.READ, 0)).toBe(E.ESTALE);
    await Bun.sleep(1);
  }
  expect(writer.exitCode).toBeNull();
  readFileSync(server.path("fifo"));
  expect(await writer.stdout.text()).toBe("open\n");
});

test("a device with places is read and written there", () => {
  const client = server.client(join(scratch, "plain"));
  const [handle, result] = client.ok("OPEN", lookup(client, "null"), RDWR, 0);
  expect(result).toBe(OpenResult.UNSIZED);
  const write = client.call("WRITE", [handle as number, 5, 0, 0], Buffer.from("gone"));
  expect(write.results).toEqual([4]);
  expect(client.call("READ", [handle as number, 0, 100]).payload.length).toBe(0);
});

test("who waits for a terminal holds up nothing, and is answered when something comes", async () => {
  const [client, handle, master] = await terminal();
  for (let slot = 1; slot <= 40; slot++) client.send(slot, "READ", [handle, 0, 1]);
  expect(client.errno("GETATTR", 1, 0)).toBe(0);
  master.say("x".repeat(40));
  const answers = Array.from({ length: 40 }, (_, i) => client.reply(i + 1).payload.toString());
  expect(answers.join("")).toBe("x".repeat(40));
});

test("a wait ends by CANCEL, and with its session", async () => {
  const [client, handle] = await terminal();
  client.send(3, "READ", [handle, 0, 1]);
  expect(client.errno("GETATTR", 1, 0)).toBe(0);
  client.cancel(3);
  expect(client.reply(3).errno).toBe(E.EINTR);
  client.send(4, "READ", [handle, 0, 1]);
  client.oneway(2, handle);
  server.hangUp(client);
  expect(server.client().errno("GETATTR", 1, 0)).toBe(0);
});

test("who does not wait is told EAGAIN", async () => {
  const [client, handle] = await terminal();
  expect(client.errno("READ", handle, StreamFlag.NONBLOCK, 1)).toBe(E.EAGAIN);
});

test("what was taken from a terminal is answered again, not read again", async () => {
  const [client, handle, master] = await terminal();
  client.send(3, "READ", [handle, 0, 100]);
  master.say("once");
  const first = client.reply(3);
  expect(first.payload.toString()).toBe("once");
  client.transport.close();
  const next = server.resumed(client);
  next.frame(Kind.REQUEST, [3, first.sequence, Op.READ, handle, 0, 100]);
  next.transport.flush();
  expect(next.reply(3).payload.toString()).toBe("once");
});

test("a wait goes on with the next connection", async () => {
  const [client, handle, master] = await terminal();
  const sequence = client.send(3, "READ", [handle, 0, 100]);
  expect(client.errno("GETATTR", 1, 0)).toBe(0);
  client.transport.close();
  master.say("meanwhile");
  const next = server.resumed(client);
  next.frame(Kind.REQUEST, [3, sequence, Op.READ, handle, 0, 100]);
  next.transport.flush();
  expect(next.reply(3).payload.toString()).toBe("meanwhile");
});

test("ioctls are those of the table, on what they are for, where they are allowed", async () => {
  const [client, handle] = await terminal();
  const settings = client.call("IOCTL", [1, handle, Ioctl.TTY_TCGETS2, 44]);
  expect([settings.errno, settings.payload.length]).toEqual([0, 44]);
  expect(client.errno("IOCTL", 1, handle, 0x5401, 0)).toBe(E.ENOTTY);
  expect(client.errno("IOCTL", 1, handle, Ioctl.FS_GETFLAGS, 8)).toBe(E.ENOTTY);
  expect(client.errno("IOCTL", 1, handle, Ioctl.BLOCK_GETSIZE64, 8)).toBe(E.ENOTTY);
  const plain = server.client(join(scratch, "plain"));
  const [other] = plain.ok("OPEN", lookup(plain, "null"), RDWR, 0);
  expect(plain.errno("IOCTL", 1, other as number, Ioctl.RANDOM_GETENTCNT, 4)).toBe(E.ENOTTY);
  const files = server.client();
  const [file] = files.ok("OPEN", lookup(files, "file"), OpenFlag.READ, 0);
  expect(files.errno("IOCTL", 1, file as number, Ioctl.TTY_TCGETS2, 44)).toBe(E.ENOTTY);
});

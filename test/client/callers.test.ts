/** Which callers are dying, with real processes; and what becomes of their requests. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { interrupt, isDying, PATIENCE_NS, releaseTheDying } from "../../src/client/callers.ts";
import { State } from "../../src/client/pending.ts";
import { Opcode } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op } from "../../src/wire/ops.ts";
import { until } from "../support/server.ts";
import { Rig } from "./rig.ts";

const children: Bun.Subprocess[] = [];
const rigs: Rig[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const rig of rigs.splice(0)) rig.close();
});

function start(script: string): Bun.Subprocess<"ignore", "pipe"> {
  const child = Bun.spawn(["bash", "-c", script], { stdin: "ignore", stdout: "pipe" });
  children.push(child);
  return child;
}

/** Waits for a process to say something, and returns it. */
async function said(child: Bun.Subprocess<"ignore", "pipe">): Promise<string> {
  const { value } = await child.stdout.getReader().read();
  return Buffer.from(value ?? []).toString();
}

function state(pid: number): string {
  return /^State:\s*(.)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "";
}

/** A process that is a zombie until the test is over: its parent never waits for it. */
async function zombie(): Promise<number> {
  const parent = start("exec perl -e '$| = 1; my $p = fork || exit 3; print qq($p\\n); sleep 60'");
  const pid = Number(await said(parent));
  await until(() => state(pid) === "Z", "the child is a zombie");
  return pid;
}

/** A number that no process has. */
async function ended(): Promise<number> {
  const child = start("exit 0");
  await child.exited;
  return child.pid;
}

describe("dying is", () => {
  test("nobody who runs, sleeps or is stopped", async () => {
    expect(isDying(process.pid)).toBe(false);
    const child = start("echo up; exec sleep 60");
    await said(child);
    expect(isDying(child.pid)).toBe(false);
    child.kill("SIGSTOP");
    await until(() => state(child.pid) === "T", "the child is stopped");
    expect(isDying(child.pid)).toBe(false);
  });

  test("nobody with a signal that is blocked, handled or ignored", async () => {
    const child = start("trap : TERM; trap '' INT; echo up; while :; do sleep 1; done");
    await said(child);
    child.kill("SIGINT");
    child.kill("SIGTERM");
    expect(isDying(child.pid)).toBe(false);
    // Blocked: the signal stays pending for as long as the process lives.
    const script = "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); print qq(up\\n); sleep 60";
    const blocked = start(`exec perl -MPOSIX -e '$| = 1; ${script}'`);
    await said(blocked);
    blocked.kill("SIGTERM");
    const pending = () => readFileSync(`/proc/${blocked.pid}/status`, "latin1");
    await until(() => /^ShdPnd:\s*0*4000$/m.test(pending()), "SIGTERM is pending");
    expect(isDying(blocked.pid)).toBe(false);
  });

  test("a zombie, and who is gone", async () => {
    expect(isDying(await zombie())).toBe(true);
    expect(isDying(await ended())).toBe(true);
  });

  test("not the kernel itself, which has no number", () => {
    expect(isDying(0)).toBe(false);
  });
});

/** A rig with one request of `pid` forwarded, which is older than callers are left alone. */
function waiting(opcode: number, body: Uint8Array, pid: number): { rig: Rig; unique: number } {
  const rig = new Rig();
  rigs.push(rig);
  const unique = rig.request(opcode, body, { pid });
  rig.received();
  const { startedNs } = rig.client.pending;
  startedNs[0] = (startedNs[0] as number) - 2 * PATIENCE_NS;
  return { rig, unique };
}

const GETATTR = Buffer.alloc(16);
const LOCK = Buffer.alloc(48);

describe("the request of a caller that is dying", () => {
  test("is answered with EINTR, and the server is asked to end it", async () => {
    const { rig, unique } = waiting(Opcode.GETATTR, GETATTR, await ended());
    releaseTheDying(rig.client);
    expect(rig.told()).toEqual({ error: -E.EINTR, unique, body: Buffer.alloc(0) });
    expect(rig.client.pending.state[0]).toBe(State.ABANDONED);
    expect(rig.received()).toEqual([
      { kind: Kind.CANCEL, items: [0, 1], payload: Buffer.alloc(0) },
    ]);
    releaseTheDying(rig.client);
    expect(rig.told()).toBeUndefined();
  });

  test("is left alone while it is young, unless the kernel says that a signal came", async () => {
    const { rig, unique } = waiting(Opcode.GETATTR, GETATTR, await zombie());
    rig.client.pending.startedNs[0] = Bun.nanoseconds();
    releaseTheDying(rig.client);
    expect(rig.told()).toBeUndefined();
    interrupt(rig.client, 0);
    expect(rig.told()).toMatchObject({ error: -E.EINTR, unique });
  });

  test("is not cancelled over a connection that takes nothing, or is gone", async () => {
    const { rig } = waiting(Opcode.GETATTR, GETATTR, await ended());
    rig.client.transport.close();
    releaseTheDying(rig.client);
    expect(rig.told()).toMatchObject({ error: -E.EINTR });
    expect(rig.received()).toEqual([]);
  });
});

describe("the request of a caller that lives", () => {
  test("is left alone, however old", () => {
    const { rig } = waiting(Opcode.GETATTR, GETATTR, process.pid);
    releaseTheDying(rig.client);
    interrupt(rig.client, 0);
    expect(rig.told()).toBeUndefined();
    expect(rig.received()).toEqual([]);
    expect(rig.client.pending.state[0]).toBe(State.ASKED);
  });

  test("is cancelled by a signal where it waits for a lock", () => {
    const { rig } = waiting(Opcode.SETLKW, LOCK, process.pid);
    expect(rig.client.pending.op[0]).toBe(Op.SETLK);
    interrupt(rig.client, 0);
    expect(rig.told()).toBeUndefined();
    expect(rig.received()).toMatchObject([{ kind: Kind.CANCEL, items: [0, 1] }]);
  });
});

/** Unix sockets with abstract names, which programs under a supervisor find on the HOST and have there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Program } from "../support/program.ts";
import { QTFS } from "../support/server.ts";
import { Stage } from "./stage.ts";

const NAMES = `${import.meta.dir}/names.py`;
const KINDS = ["stream", "seqpacket", "dgram"];
const NOBODY = 65_534;

let stage: Stage;
let serial = 0;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

const nextName = () => `/qtfs-test/${serial++}`;
const words = (...rest: string[]) => ["python3", NAMES, ...rest];

function under(...command: string[]): string[] {
  return [QTFS, "supervise", "--abstract=other,@/qtfs-test/*", "--", ...command];
}

async function onHost(...rest: string[]): Promise<Program> {
  const program = stage.host.spawn(words(...rest));
  await program.prints(/ready\n/);
  return program;
}

async function onDpu(...rest: string[]): Promise<Program> {
  const program = stage.dpu.spawn(under(...words(...rest)));
  await program.prints(/ready\n/);
  return program;
}

/** What a caller on the DPU, or on the HOST, says. */
async function callFromDpu(kind: string, name: string, ...user: string[]): Promise<string> {
  const caller = under(...words("call", kind, name, "hello", ...user));
  const { stdout, stderr } = await stage.dpu.run(caller);
  return stdout + stderr;
}

async function callFromHost(kind: string, name: string): Promise<string> {
  return (await stage.host.run(words("call", kind, name, "hello"))).stdout;
}

/** Calls until it is answered, while something finds its way back. */
async function callUntilAnswered(kind: string, name: string): Promise<string> {
  for (let i = 0; i < 100; i++) {
    const said = await callFromHost(kind, name);
    if (said.startsWith("answer")) return said;
    await Bun.sleep(50);
  }
  return "never";
}

test.each(KINDS)("whoever connects on the DPU reaches the HOST's %s", async (kind) => {
  const name = nextName();
  const there = await onHost("serve", kind, name);
  for (let i = 0; i < 3; i++) {
    expect(await callFromDpu(kind, name)).toBe(`answer to hello from ${name}\n`);
  }
  const got = kind === "dgram" ? "got hello\n" : "got hello of user 0\n";
  expect(there.stdout).toBe(`ready\n${got.repeat(3)}`);
  await there.stop("SIGKILL");
  expect(await callFromDpu(kind, name)).toBe("ECONNREFUSED\n");
});

test.each(KINDS)("whoever connects on the HOST reaches the DPU's %s", async (kind) => {
  const name = nextName();
  const here = await onDpu("serve", kind, name);
  for (let i = 0; i < 3; i++) {
    expect(await callFromHost(kind, name)).toBe(`answer to hello from ${name}\n`);
  }
  await here.stop("SIGKILL");
  const after = await onHost("serve", kind, nextName());
  expect(after.hasEnded).toBe(false);
});

test("the HOST sees the user who connects", async () => {
  const name = nextName();
  const there = await onHost("once", "stream", name);
  expect(await callFromDpu("stream", name, `${NOBODY}`)).toBe(`answer to hello from ${name}\n`);
  expect(await there.output()).toBe(`ready\ngot hello of user ${NOBODY}\n`);
});

test("a name is one program's on both machines, and free once that has ended", async () => {
  const name = nextName();
  const there = await onHost("bind", "stream", name);
  const refused = await stage.dpu.run(under(...words("bind", "stream", name)));
  expect(refused.stdout).toBe("EADDRINUSE\n");
  await there.stop("SIGKILL");
  const here = await onDpu("serve", "stream", name);
  expect((await stage.host.run(words("bind", "stream", name))).stdout).toBe("EADDRINUSE\n");
  await here.stop("SIGKILL");
  const again = await untilReady(() => stage.host.spawn(words("serve", "seqpacket", name)));
  expect(await callFromDpu("seqpacket", name)).toBe(`answer to hello from ${name}\n`);
  await again.stop("SIGKILL");
});

test("who has inherited the socket has the name, and each type has names of its own", async () => {
  const name = nextName();
  const script = `exec ${words("inherit", "stream", name).join(" ")}`;
  const here = stage.dpu.spawn(under("bash", "-c", script));
  await here.prints(/ready\n/);
  // The process that has bound it has ended by now.
  expect(await callFromHost("stream", name)).toBe(`answer to hello from ${name}\n`);
  await onHost("serve", "seqpacket", name);
  expect(await callFromDpu("seqpacket", name)).toBe(`answer to hello from ${name}\n`);
  expect(await callFromHost("stream", name)).toBe(`answer to hello from ${name}\n`);
});

/** Starts a program anew until it says that it is ready. */
async function untilReady(start: () => Program): Promise<Program> {
  for (let i = 0; i < 100; i++) {
    const program = start();
    await program.prints(/\n/);
    if (program.stdout.startsWith("ready")) return program;
    await program.ended();
    await Bun.sleep(20);
  }
  throw new Error("The name was never free");
}

test("among programs of the DPU nothing goes to the HOST, nor for other names", async () => {
  const name = nextName();
  await onDpu("serve", "stream", name);
  expect(await callFromDpu("stream", name)).toBe(`answer to hello from ${name}\n`);
  await onHost("serve", "stream", "not-of-the-pattern");
  expect(await callFromDpu("stream", "not-of-the-pattern")).toBe("ECONNREFUSED\n");
  // Nobody's name, and one too long for a name: what the kernel says.
  expect(await callFromDpu("stream", nextName())).toBe("ECONNREFUSED\n");
});

const KILLS: [what: string, kill: () => Promise<unknown>][] = [
  ["the server", () => stage.machines.restartServer()],
  ["the bridge", () => stage.host.sh("kill -KILL $(pgrep -f ^qtfs-bridge)")],
  ["the twin process", () => stage.dpu.sh("kill -KILL $(pgrep -f ^qtfs-twins)")],
  ["the mount", () => stage.machines.killMount()],
];

test.each(KILLS)("names are what they were when %s is killed", async (_, kill) => {
  const [mine, theirs] = [nextName(), nextName()];
  await onDpu("serve", "stream", mine);
  await onHost("serve", "stream", theirs);
  expect(await callFromHost("stream", mine)).toBe(`answer to hello from ${mine}\n`);
  expect(await callFromDpu("stream", theirs)).toBe(`answer to hello from ${theirs}\n`);
  await kill();
  expect(await callUntilAnswered("stream", mine)).toBe(`answer to hello from ${mine}\n`);
  expect(await callFromDpu("stream", theirs)).toBe(`answer to hello from ${theirs}\n`);
});

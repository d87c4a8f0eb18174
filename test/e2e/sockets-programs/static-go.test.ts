/** A static Go program on each machine: what its net package does with sockets in the share. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";
import { until } from "../support/program.ts";

const UID = 1234;
const machines = await Machines.start({ alone: true });
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  test("a stream, closed in one direction after the other, and who it is", async () => {
    const path = `${directory()}/socket`;
    const echo = server.spawn([peer, "echo", "unix", path]);
    await echo.prints("ready");
    await server.sh(`chmod 777 ${path}`);
    const texts = ["one ", "two ", "x".repeat(100_000)];
    const say = client.spawn([peer, "say", "unix", path, ...texts], { uid: UID });
    expect(await say.output()).toBe(`to ${path}\n${texts.join("")}\n`);
    await echo.prints(`peer uid ${UID} gid ${UID}\n`);
  });

  test("messages keep their bounds, also large ones", async () => {
    const path = `${directory()}/socket`;
    const echo = server.spawn([peer, "echo", "unixpacket", path]);
    await echo.prints("ready");
    const texts = ["a", "bc", "100000*d", "e", "150000*f", "g"];
    const say = client.spawn([peer, "say", "unixpacket", path, ...texts]);
    expect(await say.output()).toBe(`to ${path}\n${texts.join("\n")}\n`);
  });

  test("deadlines of reads and writes, and a close that wakes a reader", async () => {
    const here = directory();
    const echo = server.spawn([peer, "echo", "unix", `${here}/echo`]);
    const stall = server.spawn([peer, "stall", `${here}/stall`]);
    await Promise.all([echo.prints("ready"), stall.prints("ready")]);
    const both = client.spawn([peer, "deadlines", `${here}/echo`, `${here}/stall`]);
    expect((await both.output()).split("\n")).toEqual([
      "read timed out: true",
      "read later",
      "close wakes a reader: true",
      "write timed out: true, with room for something: true, and not for all: true",
      "",
    ]);
  });

  test("a listener with a deadline, closed and gone while its connection goes on", async () => {
    const path = `${directory()}/socket`;
    const accept = server.spawn([peer, "accept", path]);
    await accept.prints("ready");
    const say = client.spawn([peer, "say", "unix", path, "text"]);
    expect((await accept.output()).split("\n")).toEqual([
      "accept timed out: true",
      "ready",
      "the name is gone: true",
      "got text",
      "",
    ]);
    expect(await say.output()).toBe(`to ${path}\n\n`);
    const late = client.spawn([peer, "say", "unix", path, "late"]);
    expect(await late.ended()).toBe(1);
    expect(late.stdout).toContain("no such file or directory");
  });

  test("nobody listens any more, and then another one does", async () => {
    const path = `${directory()}/socket`;
    const first = server.spawn([peer, "echo", "unix", path]);
    await first.prints("ready");
    expect(await client.spawn([peer, "say", "unix", path, "first"]).output()).toContain("first");
    // Killed, it leaves its name behind.
    await first.stop("SIGKILL");
    let none = client.spawn([peer, "say", "unix", path, "none"]);
    await until(
      async () => {
        // For a moment the other machine does not know of its end.
        const code = await none.ended();
        if (code === 1 && none.stdout.includes("connection refused")) return true;
        none = client.spawn([peer, "say", "unix", path, "none"]);
        return false;
      },
      () => `a refusal: ${none}`,
    );
    await client.sh(`rm ${path}`);
    const second = server.spawn([peer, "echo", "unix", path]);
    await second.prints("ready");
    expect(await client.spawn([peer, "say", "unix", path, "second"]).output()).toContain("second");
  });

  test("who may not write to the socket may not connect; the wrong type cannot", async () => {
    const path = `${directory()}/socket`;
    const echo = server.spawn([peer, "echo", "unix", path]);
    await echo.prints("ready");
    await server.sh(`chmod 700 ${path}`);
    const denied = client.spawn([peer, "say", "unix", path, "x"], { uid: UID });
    expect([await denied.ended(), denied.stdout]).toEqual([
      1,
      `dial: dial unix ${path}: connect: permission denied\n`,
    ]);
    const wrong = client.spawn([peer, "say", "unixpacket", path, "x"]);
    expect([await wrong.ended(), wrong.stdout]).toEqual([
      1,
      `dial: dial unixpacket ${path}: connect: protocol wrong type for socket\n`,
    ]);
  });

  test("datagrams to a service manager tell who sent them, and pass a barrier", async () => {
    const path = `${directory()}/notify`;
    const manager = server.spawn([peer, "notified", path, "4"]);
    await manager.prints("ready");
    await server.sh(`chmod 777 ${path}`);
    const service = client.spawn([peer, "notify", path], { uid: UID });
    expect(await service.output()).toBe("the barrier is over\n");
    const who = `uid ${UID} gid ${UID} a process`;
    expect((await manager.output()).split("\n")).toEqual([
      "ready",
      `${who}: READY=1, 0 descriptors`,
      `${who}: STATUS=mine, 0 descriptors`,
      `${who}: 100000 bytes, 0 descriptors`,
      `${who}: BARRIER=1, 1 descriptors`,
      "",
    ]);
  });

  test("datagrams from a socket with a name are answered there", async () => {
    const here = directory();
    const answering = server.spawn([peer, "answer", `${here}/socket`]);
    await answering.prints("ready");
    for (const own of ["one", "two"]) {
      const asking = client.spawn([peer, "ask", `${here}/socket`, `${here}/${own}`, "a", "b"]);
      expect(await asking.output()).toBe("answer to a\nanswer to b\n");
      // Who is on the other machine has another name there: an abstract one that leads back.
      await answering.prints(/from \S+: b\n/);
    }
  });

  test("a byte out of band", async () => {
    const path = `${directory()}/socket`;
    const urged = server.spawn([peer, "urged", path]);
    await urged.prints("ready");
    await client.spawn([peer, "urgent", path]).output();
    expect(await urged.output()).toBe(
      "ready\npoll 1 errno 0; out of band ! <nil>\nothers beforeafter <nil>\n",
    );
  });
});

/** What goes through FIFOs that two machines share: whole, in order, and to its end. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import type { Machine } from "../support/machine.ts";
import { Machines } from "../support/machines.ts";
import { buildActor, EPIPE, FifoActor, N, R, W } from "./actors.ts";

const POLLIN = 1;
const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 16;
const SPEED_MB = 512;
const MINUTES = 60_000;
const machines = await Machines.start();
afterAll(() => machines.close());
const program = await buildActor(machines.scratch);

/** Lines of which none is cut where writers do so with write(2) of at most PIPE_BUF bytes. */
const LINES = `
for i in $(seq 1 400); do printf '%s%0*d\\n' $1 $((i * 9)) $i; done
`;

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  const actors: FifoActor[] = [];
  afterEach(async () => {
    for (const actor of actors.splice(0)) await actor.close();
  });
  const actor = (machine: Machine, fifo: string) => {
    const made = new FifoActor(machine, program, fifo);
    actors.push(made);
    return made;
  };
  const newFifo = async () => {
    const fifo = `${directory()}/f`;
    await server.sh(`mkfifo -m 666 ${fifo}`);
    return fifo;
  };

  test("of a file all bytes in order, and its end", async () => {
    const fifo = await newFifo();
    const file = `${machines.scratch}/bytes`;
    await server.sh(`head -c 20000001 /dev/urandom > ${file}`);
    const [sum] = (await server.sh(`sha256sum < ${file}`)).split(" ");
    for (const [from, to] of [
      [server, client],
      [client, server],
    ] as const) {
      const reader = to.spawn(["sh", "-c", `sha256sum < ${fifo}`]);
      await from.sh(`cat ${file} > ${fifo}`);
      expect((await reader.output()).split(" ")[0]).toBe(sum);
    }
  });

  test("shell programs: a line each, opened anew for each", async () => {
    const fifo = await newFifo();
    const reader = client.spawn([
      "bash",
      "-c",
      `exec 3<>${fifo}; for i in {1..50}; do read -r line <&3; echo "got $line"; done`,
    ]);
    await server.sh(`for i in {1..50}; do echo "line $i" > ${fifo}; done`);
    const expected = Array.from({ length: 50 }, (_, i) => `got line ${i + 1}\n`).join("");
    expect(await reader.output()).toBe(expected);
  });

  test("a program that writes on is killed by SIGPIPE when its reader has enough", async () => {
    const fifo = await newFifo();
    for (const [from, to] of [
      [server, client],
      [client, server],
    ] as const) {
      const writer = from.spawn(["bash", "-c", `yes > ${fifo}; echo $?`]);
      expect(await to.sh(`head -n 2 < ${fifo}`)).toBe("y\ny\n");
      expect(await writer.output()).toBe("141\n");
    }
  });

  test("several writers: what is written at once stays whole (PIPE_BUF)", async () => {
    const fifo = await newFifo();
    const reader = client.spawn(["bash", "-c", `exec 3<>${fifo}; head -n 1600 <&3`]);
    await client.sh(`until [ -n "$(ls -l /proc/*/fd/3 2>/dev/null | grep ${fifo})" ]; do :; done`);
    const writers = ["a", "b", "c", "d"].map((letter) =>
      server.spawn(["bash", "-c", `exec > ${fifo}; ${LINES}`, "bash", letter]),
    );
    for (const writer of writers) await writer.output();
    const lines = (await reader.output()).split("\n").slice(0, -1);
    const number = (line: string) => Number(line.slice(1));
    for (const letter of "abcd") {
      const own = lines.filter((line) => line.startsWith(letter));
      expect(own.map(number)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
      expect(own.every((line, i) => line.length === 1 + Math.max((i + 1) * 9, 1))).toBe(true);
    }
  });

  test("several readers share what is written, and all find the end", async () => {
    const fifo = await newFifo();
    const readers = [1, 2, 3].map(() => client.spawn(["sh", "-c", `cat ${fifo} | wc -c`]));
    const first = actor(client, fifo);
    first.tell(`o${R}`);
    await server.sh(`exec 3>${fifo}; sleep 1; head -c 3000000 /dev/zero >&3`);
    expect(await first.answer()).toBe("0");
    expect(await first.does("c")).toBe("0");
    const counts = await Promise.all(readers.map(async (one) => Number(await one.output())));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3_000_000);
  });

  test("poll(2) at both ends", async () => {
    const fifo = await newFifo();
    const [reader, writer] = [actor(client, fifo), actor(server, fifo)];
    expect(await reader.does(`o${R | N}`)).toBe("0");
    expect(await reader.does("l")).toBe("0");
    expect(await writer.does(`o${W}`)).toBe("0");
    expect(await writer.does("l")).toBe(`${POLLOUT}`);
    expect(await writer.does("w10")).toBe("10");
    await reader.comesTo("l", `${POLLIN}`);
    expect(await reader.does("r10")).toMatch(/^10:/);
    await reader.comesTo("l", "0");
    expect(await writer.does("c")).toBe("0");
    await reader.comesTo("l", `${POLLHUP}`);
    expect(await writer.does(`o${W}`)).toBe("0");
    await reader.comesTo("l", "0");
    expect(await reader.does("c")).toBe("0");
    await writer.comesTo("l", `${POLLOUT | POLLERR}`);
    expect(await writer.does("w1")).toBe(EPIPE);
  });

  test("a reader comes while both ends are open on the other machine, and finds all", async () => {
    const fifo = await newFifo();
    const [idle, writer, reader] = [actor(server, fifo), actor(server, fifo), actor(client, fifo)];
    expect(await idle.does(`o${R | N}`)).toBe("0");
    expect(await writer.does(`o${W}`)).toBe("0");
    expect(await reader.does(`o${R}`)).toBe("0");
    expect(await writer.does("w10")).toBe("10");
    expect(await reader.does("r10")).toMatch(/^10:/);
    // What comes last, too, though all is closed there before anybody has read it.
    writer.tell("w100");
    writer.tell("c");
    idle.tell("c");
    const done = [await writer.answer(), await writer.answer(), await idle.answer()];
    expect(done).toEqual(["100", "0", "0"]);
    expect(await reader.does("r101")).toMatch(/^100:/);
  });

  test("what a reader leaves unread is the next one's, on either machine", async () => {
    const fifo = await newFifo();
    const writer = actor(server, fifo);
    writer.tell(`o${W}`);
    let left = 900;
    for (const [i, machine] of [client, server, client, client, server].entries()) {
      const reader = actor(machine, fifo);
      expect(await reader.does(`o${R}`)).toBe("0");
      if (i === 0) {
        expect(await writer.answer()).toBe("0");
        expect(await writer.does("w900")).toBe("900");
      }
      expect(await reader.does("r100")).toMatch(/^100:/);
      left -= 100;
      expect(await reader.does("c")).toBe("0");
      // Nobody reads now.
      await writer.comesTo("l", `${POLLOUT | POLLERR}`);
    }
    const last = actor(client, fifo);
    expect(await last.does(`o${R}`)).toBe("0");
    expect(await last.does(`r${left}`)).toMatch(new RegExp(`^${left}:`));
  });

  test(
    "how fast it is",
    async () => {
      const fifo = await newFifo();
      for (const [from, to] of [
        [server, client],
        [client, server],
      ] as const) {
        const reader = to.spawn(["sh", "-c", `wc -c < ${fifo}`]);
        const beganMs = performance.now();
        await from.sh(`dd if=/dev/zero bs=64k count=${SPEED_MB * 16} of=${fifo} 2> /dev/null`);
        expect(Number(await reader.output())).toBe(SPEED_MB << 20);
        const seconds = (performance.now() - beganMs) / 1000;
        console.log(`  ${Math.round((SPEED_MB * 1.048576) / seconds)} MB/s`);
      }
    },
    2 * MINUTES,
  );
});

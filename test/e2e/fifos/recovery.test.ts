/** FIFOs that two machines share while the wire is cut, the mount's process or the server is killed. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import type { Machine } from "../support/machine.ts";
import { Machines } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { buildActor, FifoActor, N, R, W } from "./actors.ts";

const CUT_MS = 1500;
const MINUTES = 60_000;
const READERS = 300;
const machines = await Machines.start({ wire: "tcp", native: false });
afterAll(() => machines.close());
const program = await buildActor(machines.scratch);

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
  /** A reader and a writer that have met. */
  const met = async (): Promise<[reader: FifoActor, writer: FifoActor]> => {
    const fifo = await newFifo();
    const [reader, writer] = [actor(client, fifo), actor(server, fifo)];
    reader.tell(`o${R}`);
    expect(await writer.does(`o${W}`)).toBe("0");
    expect(await reader.answer()).toBe("0");
    return [reader, writer];
  };
  /** It is as ever, if not yet, then soon. */
  const works = async () => {
    const fifo = await newFifo();
    const reader = client.spawn(["sh", "-c", `cat ${fifo}`]);
    await server.sh(`timeout 30 sh -c 'echo hello > ${fifo}'`);
    expect(await reader.output()).toBe("hello\n");
  };

  test(
    "a cut wire costs time and not a byte",
    async () => {
      const fifo = await newFifo();
      const reader = client.spawn(["sh", "-c", `sha256sum < ${fifo}`]);
      const writer = server.spawn([
        "bash",
        "-c",
        `{ for i in {1..60}; do seq 1 20000; sleep 0.05; done; } | tee >(sha256sum) > ${fifo}`,
      ]);
      await machines.cutWire(CUT_MS);
      expect(await reader.output(MINUTES)).toBe(await writer.output(MINUTES));
      await works();
    },
    2 * MINUTES,
  );

  test(
    "the mount's process is killed: what is open goes on",
    async () => {
      const [reader, writer] = await met();
      expect(await writer.does("w100")).toBe("100");
      await machines.killMount();
      expect(await writer.does("w200")).toBe("200");
      expect(await reader.does("r300")).toMatch(/^300:/);
      expect(await writer.does("c")).toBe("0");
      expect(await reader.does("r1")).toMatch(/^0:/);
      await works();
    },
    2 * MINUTES,
  );

  test(
    "the server is killed: what is open goes on",
    async () => {
      const [reader, writer] = await met();
      expect(await writer.does("w100")).toBe("100");
      await machines.restartServer();
      expect(await writer.does("w200")).toBe("200");
      expect(await reader.does("r300")).toMatch(/^300:/);
      expect(await writer.does("c")).toBe("0");
      expect(await reader.does("r1")).toMatch(/^0:/);
      await works();
    },
    2 * MINUTES,
  );

  test(
    `${READERS} readers that wait exhaust nothing`,
    async () => {
      const here = directory();
      await server.sh(`for i in {1..${READERS}}; do mkfifo f$i; done`, { cwd: here });
      const wait = `for i in {1..${READERS}}; do cat f$i & done; wait`;
      const readers = client.spawn(["bash", "-c", wait], { cwd: here });
      await until(
        async () => {
          const count = await client.sh("pgrep -xc cat || :");
          return Number(count) >= READERS;
        },
        () => `${READERS} readers`,
      );
      await works();
      const write = `for i in {1..${READERS}}; do echo $i > f$i; done`;
      await server.sh(`timeout 50 bash -c '${write}'`, { cwd: here });
      const lines = (await readers.output(MINUTES)).split("\n").slice(0, -1).map(Number);
      expect(lines.sort((a, b) => a - b)).toEqual(Array.from({ length: READERS }, (_, i) => i + 1));
      const none = actor(client, `${here}/f1`);
      expect(await none.does(`o${R | N}`)).toBe("0");
      expect(await none.does("r1")).toMatch(/^0:/);
    },
    2 * MINUTES,
  );
});

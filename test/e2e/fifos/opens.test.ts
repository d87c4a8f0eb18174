/** FIFOs that two machines share, as they are opened: who waits for whom, and who does not. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import type { Machine } from "../support/machine.ts";
import { Machines } from "../support/machines.ts";
import { buildActor, EAGAIN, EINTR, ENXIO, EPIPE, FifoActor, N, R, RW, W } from "./actors.ts";

/** What is to wait must not have gone on after this. */
const WAITS_MS = 300;
const machines = await Machines.start({ alone: true });
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
  /** A new FIFO, and an actor on either machine. */
  const pair = async (): Promise<[here: FifoActor, there: FifoActor, fifo: string]> => {
    const fifo = `${directory()}/f`;
    await server.sh(`mkfifo -m 666 ${fifo}`);
    return [actor(server, fifo), actor(client, fifo), fifo];
  };

  test("a reader waits for a writer", async () => {
    const [here, there] = await pair();
    here.tell(`o${R}`);
    await Bun.sleep(WAITS_MS);
    expect(here.isBusy).toBe(true);
    expect(await there.does(`o${W}`)).toBe("0");
    expect(await here.answer()).toBe("0");
  });

  test("a writer waits for a reader", async () => {
    const [here, there] = await pair();
    here.tell(`o${W}`);
    await Bun.sleep(WAITS_MS);
    expect(here.isBusy).toBe(true);
    expect(await there.does(`o${R}`)).toBe("0");
    expect(await here.answer()).toBe("0");
  });

  test("without waiting: a writer is refused, unless there is a reader", async () => {
    const [here, there] = await pair();
    expect(await here.does(`o${W | N}`)).toBe(ENXIO);
    expect(await there.does(`o${R | N}`)).toBe("0");
    await here.comesTo(`o${W | N}`, "0");
    expect(await here.does("w5")).toBe("5");
    await there.comesTo("r5", /^5:/);
  });

  test("without waiting: a reader finds the end, then nothing, then data", async () => {
    const [here, there] = await pair();
    expect(await here.does(`o${R | N}`)).toBe("0");
    expect(await here.does("r1")).toMatch(/^0:/);
    expect(await there.does(`o${W}`)).toBe("0");
    await here.comesTo("r1", EAGAIN);
    expect(await there.does("w9")).toBe("9");
    await here.comesTo("r9", /^9:/);
    expect(await there.does("c")).toBe("0");
    await here.comesTo("r1", /^0:/);
  });

  test("a reader that waits lets a writer in that does not", async () => {
    const [here, there] = await pair();
    here.tell(`o${R}`);
    await there.comesTo(`o${W | N}`, "0");
    expect(await here.answer()).toBe("0");
  });

  test("who opens it for both waits for nobody, and lets others in", async () => {
    const [here, there, fifo] = await pair();
    const other = actor(client, fifo);
    expect(await here.does(`o${RW}`)).toBe("0");
    expect(await there.does(`o${W}`)).toBe("0");
    expect(await there.does("w100")).toBe("100");
    expect(await here.does("r100")).toMatch(/^100:/);
    expect(await there.does("c")).toBe("0");
    expect(await here.does("w10")).toBe("10");
    expect(await other.does(`o${R}`)).toBe("0");
    expect(await other.does("r10")).toMatch(/^10:/);
  });

  test("through a descriptor that was opened with O_PATH", async () => {
    const [here, there] = await pair();
    here.tell(`p${R}`);
    expect(await there.does(`p${W}`)).toBe("0");
    expect(await here.answer()).toBe("0");
    expect(await there.does("w3")).toBe("3");
    expect(await here.does("r3")).toMatch(/^3:/);
  });

  test("a reader that gives up, by a signal or killed, leaves nobody there", async () => {
    const [here, there, fifo] = await pair();
    here.tell(`o${R}`);
    await there.comesTo(`o${W | N}`, "0");
    expect(await here.answer()).toBe("0");
    expect(await there.does("c")).toBe("0");
    // Until then the writer counts on this machine.
    expect(await here.does("r1")).toMatch(/^0:/);
    expect(await here.does("c")).toBe("0");
    here.tell(`o${R}`);
    await Bun.sleep(WAITS_MS);
    await here.program.kill("SIGUSR1");
    expect(await here.answer()).toBe(EINTR);
    await there.comesTo(`o${W | N}`, ENXIO);
    const killed = actor(server, fifo);
    killed.tell(`o${R}`);
    await Bun.sleep(WAITS_MS);
    await killed.close();
    await there.comesTo(`o${W | N}`, ENXIO);
  });

  test("a writer that gives up lets no reader in", async () => {
    const [here, there] = await pair();
    here.tell(`o${W}`);
    await Bun.sleep(WAITS_MS);
    await here.close();
    await Bun.sleep(WAITS_MS);
    there.tell(`o${R}`);
    await Bun.sleep(WAITS_MS);
    expect(there.isBusy).toBe(true);
  });

  test("both ends on one machine have nothing to do with the other", async () => {
    const [here, there, fifo] = await pair();
    for (const machine of [server, client]) {
      const [reader, writer] = [actor(machine, fifo), actor(machine, fifo)];
      reader.tell(`o${R}`);
      expect(await writer.does(`o${W}`)).toBe("0");
      expect(await reader.answer()).toBe("0");
      for (let i = 0; i < 20; i++) {
        expect(await writer.does("w4000")).toBe("4000");
        expect(await reader.does("r4000")).toMatch(/^4000:/);
      }
      expect(await writer.does("c")).toBe("0");
      expect(await reader.does("r1")).toMatch(/^0:/);
      expect(await reader.does("c")).toBe("0");
    }
    here.tell(`o${R}`);
    expect(await there.does(`o${W}`)).toBe("0");
    expect(await here.answer()).toBe("0");
  });

  test("opened again after it was closed, by either first", async () => {
    const [here, there] = await pair();
    for (let round = 0; round < 5; round++) {
      const [first, second] = round % 2 === 0 ? [here, there] : [there, here];
      first.tell(`o${R}`);
      expect(await second.does(`o${W}`)).toBe("0");
      expect(await first.answer()).toBe("0");
      expect(await second.does("w7")).toBe("7");
      expect(await second.does("c")).toBe("0");
      expect(await first.does("r100")).toMatch(/^7:/);
      expect(await first.does("c")).toBe("0");
    }
  });

  test("the last reader's close is EPIPE, the next reader's open the end of it", async () => {
    const [here, there] = await pair();
    here.tell(`o${R}`);
    expect(await there.does(`o${W}`)).toBe("0");
    expect(await here.answer()).toBe("0");
    expect(await here.does("c")).toBe("0");
    await there.comesTo("w1", EPIPE);
    expect(await here.does(`o${R}`)).toBe("0");
    await there.comesTo("w1", "1");
    expect(await here.does("r1")).toMatch(/^1:/);
  });

  test("stat(2) tells a FIFO and opens nothing", async () => {
    const [here, there, fifo] = await pair();
    here.tell(`o${W}`);
    for (const machine of [server, client]) {
      expect(await machine.sh(`stat -c %F ${fifo}; test -p ${fifo}; ls -l ${fifo} | cut -c1`)).toBe(
        "fifo\np\n",
      );
    }
    await Bun.sleep(WAITS_MS);
    expect(here.isBusy).toBe(true);
    expect(await there.does(`o${R}`)).toBe("0");
    expect(await here.answer()).toBe("0");
  });
});

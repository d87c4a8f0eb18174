/** FIFOs that a program opens by io_uring, on two machines: nothing tells what for. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { sh } from "../support/run.ts";

const WAITS_MS = 200;
const machines = await Machines.start();
afterAll(() => machines.close());
const program = `${machines.scratch}/uring`;
await sh(`cc -O1 -o ${program} ${import.meta.dir}/uring.c`);

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  test.each([[true], [false]])("a reader, which is first: %p", async (isFirst) => {
    const fifo = `${directory()}/f`;
    await server.sh(`mkfifo -m 666 ${fifo}`);
    const read = () => client.spawn([program, fifo, "r"]);
    const write = () => server.spawn(["sh", "-c", `echo hello > ${fifo}`]);
    const first = isFirst ? read() : write();
    await Bun.sleep(WAITS_MS);
    expect(first.hasEnded).toBe(false);
    const second = isFirst ? write() : read();
    const [reader, writer] = isFirst ? [first, second] : [second, first];
    expect(await reader.output()).toBe("hello\n");
    expect(await writer.ended()).toBe(0);
  });

  test.each([[true], [false]])("a writer, which is first: %p", async (isFirst) => {
    const fifo = `${directory()}/f`;
    await server.sh(`mkfifo -m 666 ${fifo}`);
    const write = () => client.spawn([program, fifo, "w"]);
    const read = () => server.spawn(["cat", fifo]);
    const first = isFirst ? write() : read();
    await Bun.sleep(WAITS_MS);
    expect(first.hasEnded).toBe(false);
    const second = isFirst ? read() : write();
    const [reader, writer] = isFirst ? [second, first] : [first, second];
    expect(await reader.output()).toBe("by a ring\n");
    expect(await writer.ended()).toBe(0);
  });
});

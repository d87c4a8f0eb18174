/** Many FIFOs opened at once (identity.c): each is told of as itself, on two machines. */
import { afterAll, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { sh } from "../support/run.ts";

const THREADS = 16;
const ROUNDS = 60;
const BOUND_MS = 60_000;
const machines = await Machines.start();
afterAll(() => machines.close());
const program = `${machines.scratch}/identity`;
await sh(`cc -O1 -pthread -o ${program} ${import.meta.dir}/identity.c`);

test.each(machines.ways)("$name", async ({ server, client, directory }) => {
  const path = directory();
  for (const [i, machine] of [server, client].entries()) {
    await machine.sh(`mkdir ${path}/${i}`);
    const opener = machine.spawn([program, `${path}/${i}`, `${THREADS}`, `${ROUNDS}`]);
    expect(await opener.output(BOUND_MS)).toBe("0 of another\n");
  }
});

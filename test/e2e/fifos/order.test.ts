/** What is said over a socket after a FIFO was opened does not overtake the other end of that. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { sh } from "../support/run.ts";

const ROUNDS = 25;
/** What is sent is held for 100 ms at most, in which a machine under load may not get as far. */
const LATE_MAX = 3;
const machines = await Machines.start();
afterAll(() => machines.close());
const program = `${machines.scratch}/order`;
await sh(`cc -O2 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/order.c`);

describe.each(machines.ways)("$name", ({ name, server, client, directory }) => {
  test.each([
    ["reader", "w", "r"],
    ["writer", "r", "w"],
  ])("a %s that waits has it open by then", async (_, theirs, ours) => {
    const place = directory();
    await server.sh(`cd ${place}; for i in $(seq 0 ${ROUNDS - 1}); do mkfifo -m 666 fifo.$i; done`);
    const words = (way: string) => [`${place}/socket`, `${place}/fifo`, way, `${ROUNDS}`];
    const says = server.spawn([program, "says", ...words(theirs)]);
    await until(
      () => says.stdout.includes("listens"),
      () => `${says}`,
    );
    const hears = client.spawn([program, "hears", ...words(ours)]);
    const interrupted = Number.parseInt(await hears.output(), 10);
    expect(interrupted).toBeLessThanOrEqual(name === "native" ? 0 : LATE_MAX);
    await says.output();
  });
});

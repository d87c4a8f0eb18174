/**
 * A proxy between client and server that spoils what passes as it is told to.
 *
 *   bun test/fault/proxy.ts --listen ADDR --to ADDR [--seed N]
 *
 * Commands are lines of JSON on standard input, reports on standard output
 * (proxy/faults.ts); it ends with its input.
 */
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { read } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { random } from "../support/random.ts";
import type { Command } from "./proxy/faults.ts";
import { FaultProxy } from "./proxy/server.ts";

const { values } = parseArgs({
  options: {
    listen: { type: "string", default: "" },
    to: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
  },
});

const input = allocate(64 * 1024);
let rest = "";

/** Obeys the commands that have come; ends the process with its input. */
function onControl(): void {
  const n = read(0, input.address, input.size);
  if (n <= 0) process.exit(0);
  const lines = `${rest}${input.bytes.toString("utf8", 0, n)}`.split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) proxy.obey(JSON.parse(line) as Command);
}

const proxy = new FaultProxy({
  listen: parseAddress(values.listen),
  server: parseAddress(values.to),
  random: random(Number(values.seed)),
  report: (report) => writeSync(1, `${JSON.stringify(report)}\n`),
  control: 0,
  onControl,
});
proxy.run();

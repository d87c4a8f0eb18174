/** The measuring end of `scripts/bench links`. */
import { readFileSync } from "node:fs";
import { transportOn } from "../../../src/client/greeting.ts";
import { Spin } from "../../../src/session/spin.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import { parseAddress } from "../../../src/transport/address.ts";
import { connectTo } from "../../../src/transport/endpoint.ts";
import type { SocketTransport } from "../../../src/transport/socket.ts";
import { CLOSED } from "../../../src/transport/transport.ts";
import { Kind } from "../../../src/wire/frame.ts";

export const KINDS = ["pcie", "unix"] as const;
/** Bytes of an answer; `ahead`: requests that are on their way at once for the throughput. */
export const SIZES = [
  { name: "100 bytes", bytes: 0, ahead: 1 },
  { name: "4 KiB", bytes: 4096, ahead: 8 },
  { name: "1 MiB", bytes: 1 << 20, ahead: 4 },
];
export const IDLE_S = 5;
const MEASURE_MS = 1000;
/** Ticks of utime and stime (proc(5)). */
const TICKS_PER_S = 100;

/** Figures by the name of their row. */
export type Figures = Map<string, number>;

const spin = new Spin();

function ask(transport: SocketTransport, bytes: number): void {
  transport.begin(Kind.REQUEST).uint(bytes);
  transport.end();
  transport.flush();
}

/** Waits for the next answer as a reactor does. */
function hear(transport: SocketTransport, polls: PollSet): void {
  while (!transport.next()) {
    const got = transport.receive();
    if (got === CLOSED) throw new Error("The other end is gone");
    if (got > 0) spin.worked();
    else if (!spin.again()) polls.wait(1000);
  }
}

function measureSize(transport: SocketTransport, polls: PollSet, bytes: number, ahead: number) {
  const times: number[] = [];
  let endNs = Bun.nanoseconds() + MEASURE_MS * 1e6;
  while (Bun.nanoseconds() < endNs) {
    const sinceNs = Bun.nanoseconds();
    ask(transport, bytes);
    hear(transport, polls);
    times.push((Bun.nanoseconds() - sinceNs) / 1000);
  }
  times.sort((a, b) => a - b);
  const sinceNs = Bun.nanoseconds();
  endNs = sinceNs + MEASURE_MS * 1e6;
  let heard = 0;
  for (let i = 0; i < ahead; i++) ask(transport, bytes);
  while (Bun.nanoseconds() < endNs) {
    hear(transport, polls);
    heard++;
    ask(transport, bytes);
  }
  const seconds = (Bun.nanoseconds() - sinceNs) / 1e9;
  for (let i = 0; i < ahead; i++) hear(transport, polls);
  return {
    p50: times[times.length >> 1] as number,
    rate: (heard * (bytes || 100)) / seconds / 1e6,
  };
}

/** Ticks of a processor that the process has had. */
function ticks(pid: number | "self"): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** All figures of one connection to `text`, at whose other end is the process `peer`. */
export function measure(text: string, peer: number): Figures {
  const address = parseAddress(text);
  const fd = connectTo(address);
  if (fd < 0) throw new Error(`Cannot connect to ${text}: errno ${-fd}`);
  const transport = transportOn(fd, address);
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  const figures: Figures = new Map();
  for (const { name, bytes, ahead } of SIZES) {
    const { p50, rate } = measureSize(transport, polls, bytes, ahead);
    figures.set(`${name}, round trip p50, µs`, p50);
    figures.set(`${name}, MB/s`, rate);
  }
  const before = ticks("self") + ticks(peer);
  polls.wait(IDLE_S * 1000);
  const used = ticks("self") + ticks(peer) - before;
  figures.set(`idle for ${IDLE_S} s, % of a core, both ends`, (used / TICKS_PER_S / IDLE_S) * 100);
  transport.close();
  transport.release();
  return figures;
}

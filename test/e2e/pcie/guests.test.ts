/** pcie:// between two kernels that share a PCI device: files, programs, and a reset of the HOST. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Guest, plainLink } from "../support/guests/guest.ts";
import { fetchKernel, type Kernel } from "../support/guests/kernel.ts";
import { until } from "../support/program.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOUND_MS = 400_000;
const directory = mkdtempSync(`${tmpdir()}/guests-`);
const memory = mkdtempSync("/dev/shm/guests-");
const guests: Guest[] = [];

async function guest(name: string, kernel: Kernel): Promise<Guest> {
  const role = `${import.meta.dir}/guests/${name}`;
  const devices = plainLink(`${memory}/link`);
  const one = new Guest(directory, name, { kernel, modules: ["fuse"], role, devices });
  guests.push(one);
  await one.make();
  return one;
}

const story = () => guests.map((one) => `${one.name}:\n${one.said}`).join("\n");
const told = async (one: Guest, word: string, times = 1) => {
  await until(() => one.told(word).length >= times, story, BOUND_MS);
  return one.told(word);
};

let host: Guest;
let dpu: Guest;

beforeAll(async () => {
  const kernel = await fetchKernel();
  host = await guest("host", kernel);
  dpu = await guest("dpu", kernel);
  for (const one of guests) one.start();
}, BOUND_MS);

afterAll(async () => {
  for (const one of guests) await one.stop();
  for (const place of [directory, memory]) rmSync(place, { recursive: true });
});

test(
  "files and programs, and the same after the HOST was reset",
  async () => {
    expect(await told(dpu, "file")).toEqual(["text of the HOST"]);
    const [mine] = await told(dpu, "mine");
    expect(await told(dpu, "theirs")).toEqual([mine as string]);
    expect(await told(dpu, "piped")).toEqual(["through"]);
    await told(host, "is reset");
    // It boots once more, and lays nothing out anew: the memory has outlived it.
    await told(host, "link", 2);
    expect(await told(dpu, "again")).toEqual(["text of the HOST"]);
    await told(dpu, "over");
  },
  BOUND_MS,
);

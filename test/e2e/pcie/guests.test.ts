/** pcie:// between two kernels that share a PCI device: files, programs, and a reset of the HOST. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { until } from "../support/program.ts";
import { fetchKernel, Guest, makeLink } from "./guests/guests.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOUND_MS = 400_000;
const directory = mkdtempSync(`${tmpdir()}/guests-`);
const memory = mkdtempSync("/dev/shm/guests-");
const host = new Guest(directory, "host");
const dpu = new Guest(directory, "dpu");

const story = () => `HOST:\n${host.said}\nDPU:\n${dpu.said}`;
const told = async (guest: Guest, word: string, times = 1) => {
  await until(() => guest.told(word).length >= times, story, BOUND_MS);
  return guest.told(word);
};

beforeAll(async () => {
  const { image, fuse } = await fetchKernel(directory);
  makeLink(`${memory}/link`);
  for (const guest of [host, dpu]) await guest.make(fuse);
  for (const guest of [host, dpu]) guest.start(image, `${memory}/link`);
}, BOUND_MS);

afterAll(async () => {
  for (const guest of [host, dpu]) await guest.stop();
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

/** pcie:// between two kernels that share a PCI device: files, programs, and a reset of the HOST. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  doorbellLink,
  Guest,
  IOMMU,
  makeMemory,
  plainLink,
  startIvshmemServer,
} from "../support/guests/guest.ts";
import { fetchKernel, type Kernel } from "../support/guests/kernel.ts";
import { until } from "../support/program.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOUND_MS = 400_000;
const directory = mkdtempSync(`${tmpdir()}/guests-`);
const memory = mkdtempSync("/dev/shm/guests-");
const socket = `${directory}/ivshmem`;
const guests: Guest[] = [];

async function guest(name: string, kernel: Kernel, more: string[] = []): Promise<Guest> {
  const role = `${import.meta.dir}/guests/${name}`;
  const devices = [...IOMMU, ...plainLink(`${memory}/plain`), ...doorbellLink(socket), ...more];
  const modules = ["fuse", "vfio-pci", "vfio_iommu_type1", "vsock_loopback"];
  const files: [string, string][] = [[`${import.meta.dir}/guests/lib`, "/lib.sh"]];
  const kernelWords = "intel_iommu=on";
  const all = { kernel, modules, role, devices, files, kernelWords };
  const one = new Guest(directory, name, all);
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
let joins: Bun.Subprocess;

beforeAll(async () => {
  const kernel = await fetchKernel();
  for (const name of ["plain", "doorbell"]) makeMemory(`${memory}/${name}`);
  joins = await startIvshmemServer(socket, `${memory}/doorbell`);
  host = await guest("host", kernel);
  dpu = await guest("dpu", kernel, ["-device", "edu"]);
  for (const one of guests) one.start();
}, BOUND_MS);

afterAll(async () => {
  for (const one of guests) await one.stop();
  joins.kill();
  await joins.exited;
  for (const place of [directory, memory]) rmSync(place, { recursive: true });
});

test(
  "files and programs by vsock, for machines that are allowed",
  async () => {
    expect(await told(dpu, "vsock-file")).toEqual(["by vsock"]);
    expect(await told(dpu, "vsock-same")).toEqual(["yes"]);
    expect(await told(dpu, "vsock-piped")).toEqual(["through"]);
    const [refused] = await told(dpu, "vsock-refused");
    expect(refused).toContain("CID 1 is not among those allowed (2)");
  },
  BOUND_MS,
);

test(
  "without interrupts, copied by a device",
  async () => {
    expect(await told(dpu, "plain-file")).toEqual(["text of the HOST"]);
    expect(await told(dpu, "copied-there")).toEqual(await told(dpu, "copied-here"));
    expect(await told(dpu, "copied-from")).toEqual(await told(dpu, "copied-here"));
    // Ten pieces, each to the device and from it.
    expect(Number((await told(dpu, "copies"))[0])).toBeGreaterThanOrEqual(20);
  },
  BOUND_MS,
);

test(
  "files and programs by interrupts, and the same after the HOST was reset",
  async () => {
    expect(await told(dpu, "file")).toEqual(["text of the HOST"]);
    const [mine] = await told(dpu, "mine");
    expect(await told(dpu, "theirs")).toEqual([mine as string]);
    expect(await told(dpu, "piped")).toEqual(["through"]);
    expect(Number((await told(dpu, "interrupted"))[0])).toBeGreaterThan(0);
    await told(dpu, "removed");
    expect(await told(dpu, "back")).toEqual(["text of the HOST"]);
    expect(Number((await told(host, "interrupted"))[0])).toBeGreaterThan(0);
    await told(host, "is reset");
    // It boots once more, and lays nothing out anew: the memory has outlived it.
    await told(host, "doorbell", 2);
    expect(await told(dpu, "again")).toEqual(["text of the HOST"]);
    await told(dpu, "over");
  },
  BOUND_MS,
);

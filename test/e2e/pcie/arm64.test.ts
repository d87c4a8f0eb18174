/**
 * pcie:// between a HOST of x86-64 and a DPU of arm64, two kernels that share a PCI device: all
 * that the DPU sees of the HOST's files is what the HOST sees, and programs run across.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Guest, type GuestOptions, plainLink } from "../support/guests/guest.ts";
import { fetchKernel } from "../support/guests/kernel.ts";
import { ARM64, X86_64 } from "../support/guests/machine.ts";
import { until } from "../support/program.ts";
import { sh } from "../support/run.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
const BOUND_MS = 400_000;
const directory = mkdtempSync(`${tmpdir()}/arm64-`);
const memory = mkdtempSync("/dev/shm/arm64-");
const guests: Guest[] = [];

/** A guest that has the test's programs, made by `compiler`. */
async function guest(
  name: string,
  compiler: string,
  options: Pick<GuestOptions, "machine" | "kernel" | "modules">,
): Promise<Guest> {
  const here = `${import.meta.dir}/arm64`;
  const flags = "-std=c11 -O2 -Wall -Wextra -Werror -static -pthread";
  const ffi = `${import.meta.dir}/../../../ffi`;
  const [probe, qtdma] = [`${directory}/${name}.probe`, `${directory}/${name}.qtdma`];
  await sh(`${compiler} ${flags} -o ${probe} ${here}/probe.c
    ${compiler} ${flags} -o ${qtdma} ${ffi}/*.c ${import.meta.dir}/../../ffi/qtdma.c`);
  const one = new Guest(directory, name, {
    ...options,
    role: `${here}/${name}`,
    devices: plainLink(`${memory}/link`),
    files: [
      [probe, "/bin/probe"],
      [qtdma, "/bin/qtdma"],
    ],
  });
  guests.push(one);
  await one.make();
  return one;
}

const story = () => guests.map((one) => `${one.name}:\n${one.said}`).join("\n");
/** The line that `one` has said with `word` at its start, once it has. */
async function told(one: Guest, word: string): Promise<string> {
  await until(() => one.told(word).length > 0, story, BOUND_MS);
  return Buffer.from(one.told(word)[0] as string, "latin1").toString();
}

let host: Guest;
let dpu: Guest;

beforeAll(async () => {
  const kernels = { host: await fetchKernel("amd64"), dpu: await fetchKernel("arm64") };
  host = await guest("host", "gcc", {
    machine: X86_64,
    kernel: kernels.host,
    modules: ["fuse", "crc32c_generic", "ext4", "loop"],
  });
  dpu = await guest("dpu", "aarch64-linux-gnu-gcc", {
    machine: ARM64,
    kernel: kernels.dpu,
    modules: ["fuse"],
  });
  for (const one of guests) one.start();
  await told(dpu, "over");
}, BOUND_MS);

afterAll(async () => {
  for (const one of guests) await one.stop();
  for (const place of [directory, memory]) rmSync(place, { recursive: true });
});

test("the machines are what they are called", async () => {
  expect(await told(dpu, "machine")).toBe("aarch64");
  expect(await told(dpu, "program there:")).toBe("x86_64 2");
  expect(await told(dpu, "program here:")).toBe("ENOEXEC");
});

test("the C library of PCIe passes its tests on arm64", async () => {
  expect(await told(dpu, "qtdma")).toBe("ok");
});

describe("files", () => {
  test("calls have the same outcomes, whatever bits flags have here and there", () => {
    const facts = host.told("fact");
    expect(facts).toContain("open a link itself: ELOOP");
    expect(facts).toContain("open without a cache: ok rdwr direct");
    expect(facts.length).toBeGreaterThan(60);
    expect(dpu.told("fact")).toEqual(facts);
  });

  test("attributes are the same", () => {
    const theirs = dpu.told("on the HOST: stat");
    expect(theirs.length).toBeGreaterThan(12);
    expect(dpu.told("stat")).toEqual(theirs);
  });

  test("data is the same", async () => {
    const random = await told(dpu, "on the HOST: random");
    expect(random).toMatch(/^[0-9a-f]{64}$/);
    for (const what of ["random", "copy", "piped", "redirected"]) {
      expect(`${what} ${await told(dpu, what)}`).toBe(`${what} ${random}`);
    }
  });

  test("a change on the HOST is told of here", async () => {
    expect(await told(dpu, "event")).toBe("made new");
  });
});

describe("programs", () => {
  test.each([
    ["exit", "77"],
    ["killed", "139"],
    ["signal", "5 caught"],
    ["said", 'ä "b" c  d /tree 0022'],
    ["limits", "0027 99"],
  ])("%s", async (what, expected) => {
    expect(await told(dpu, what)).toBe(expected);
  });
});

test("sockets and FIFOs connect programs of both", async () => {
  expect(await told(dpu, "asked the HOST:")).toBe("WORD");
  expect(await told(dpu, "asked the DPU:")).toBe("OTHER");
  expect(await told(dpu, "FIFO")).toBe("from the HOST");
  expect(await told(dpu, "on the HOST: FIFO")).toBe("from the DPU");
});

test("a supervised program's mount is the HOST's", async () => {
  expect(await told(dpu, "mounted")).toBe("tmpfs");
  expect(await told(dpu, "mounted here")).toBe("of the HOST's tmpfs");
});

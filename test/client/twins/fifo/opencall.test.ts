/** What /proc/<tid>/syscall says of an open (client/twins/fifo/opencall.ts). */
import { describe, expect, test } from "bun:test";
import { openCall } from "../../../../src/client/twins/fifo/opencall.ts";
import { O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY } from "../../../../src/sys/open.ts";

const HIGH = "0x7ffd2a9b1c48";
const LOW = "0xffe01230";
const none = () => undefined;

/** A line of procfs. */
function line(number: number, args: number[], stack = HIGH): string {
  const six = Array.from({ length: 6 }, (_, i) => `0x${(args[i] ?? 0).toString(16)}`);
  return [number, ...six, stack, "0x7f0012345678"].join(" ");
}

const R = { reads: true, writes: false, waits: true, unknown: false };
const W = { reads: false, writes: true, waits: true, unknown: false };
const UNKNOWN = { reads: true, writes: true, waits: true, unknown: true };

describe("x86-64", () => {
  const of = (text: string) => openCall(text, "x64", none);

  test("open, openat, creat, open_by_handle_at", () => {
    expect(of(line(2, [0x1000, O_RDONLY]))).toEqual(R);
    expect(of(line(2, [0x1000, O_WRONLY]))).toEqual(W);
    expect(of(line(257, [0xffffff9c, 0x1000, O_RDONLY]))).toEqual(R);
    expect(of(line(257, [3, 0x1000, O_WRONLY | O_NONBLOCK]))).toEqual({ ...W, waits: false });
    expect(of(line(257, [3, 0x1000, O_RDWR]))).toEqual({
      ...{ reads: true, writes: true, waits: false, unknown: false },
    });
    expect(of(line(85, [0x1000, 0o644]))).toEqual(W);
    expect(of(line(304, [3, 0x1000, O_RDONLY | O_NONBLOCK]))).toEqual({ ...R, waits: false });
  });

  test("openat2 is asked for its flags in memory", () => {
    const asked: number[] = [];
    const call = openCall(line(437, [3, 0x1000, 0x2000, 24]), "x64", (address) => {
      asked.push(address);
      return O_WRONLY | O_NONBLOCK;
    });
    expect(call).toEqual({ ...W, waits: false });
    expect(asked).toEqual([0x2000]);
    expect(of(line(437, [3, 0x1000, 0x2000, 24]))).toEqual(UNKNOWN);
  });

  test("a program of 32 bits has other numbers", () => {
    expect(of(line(5, [0x1000, O_RDONLY], LOW))).toEqual(R);
    expect(of(line(295, [3, 0x1000, O_WRONLY], LOW))).toEqual(W);
    // fstat(2), preadv(2)
    expect(of(line(5, [3, 0x1000]))).toBeUndefined();
    expect(of(line(295, [3, 0x1000, 1]))).toBeUndefined();
  });

  test("io_uring, or a thread of the kernel's for it: nothing is known", () => {
    expect(of(line(426, [3, 1, 1, 1]))).toEqual(UNKNOWN);
    expect(of("-1 0x0 0x0")).toEqual(UNKNOWN);
  });

  test("what opens nothing", () => {
    expect(of(line(332, [0xffffff9c, 0x1000]))).toBeUndefined();
    expect(of(line(257, [3, 0x1000, O_PATH]))).toBeUndefined();
    expect(of(line(257, [3, 0x1000, 3]))).toBeUndefined();
    for (const text of ["", "running", "nonsense"]) expect(of(text)).toBeUndefined();
  });
});

test("arm64", () => {
  const of = (text: string) => openCall(text, "arm64", () => O_RDONLY);
  expect(of(line(56, [3, 0x1000, O_WRONLY]))).toEqual(W);
  expect(of(line(437, [3, 0x1000, 0x2000]))).toEqual(R);
  expect(of(line(322, [3, 0x1000, O_RDONLY], LOW))).toEqual(R);
  // io_setup(2) and capset(2) there.
  expect(of(line(2, [0x1000, O_RDONLY]))).toBeUndefined();
});

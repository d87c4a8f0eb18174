/** What this machine and build say of themselves in a handshake and in `info`. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import packageJson from "../../package.json" with { type: "json" };
import type { Facts } from "../wire/hello.ts";

export const BUILD = packageJson.version;

/** Page size of every machine this is built for, but arm64 kernels of 16 or 64 KiB. */
function pageSize(): number {
  const match = /^KernelPageSize:\s+(\d+) kB/m.exec(readFileSync("/proc/self/smaps", "utf8"));
  return Number(match?.[1] ?? 4) * 1024;
}

/** The facts of this process. */
export function machineFacts(): Facts {
  return {
    build: BUILD,
    arch: process.arch,
    kernel: release(),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    pageSize: pageSize(),
    pid: process.pid,
  };
}

/** What this machine and build say of themselves in a handshake and in `info`. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import packageJson from "../../package.json" with { type: "json" };
import { getPageSize } from "../sys/process.ts";
import type { Facts } from "../wire/hello.ts";

export const BUILD = packageJson.version;

/** The facts of this process. */
export function machineFacts(): Facts {
  return {
    build: BUILD,
    arch: process.arch,
    kernel: release(),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    pageSize: getPageSize(),
    pid: process.pid,
  };
}

/**
 * Whether nobody is between a client and its server: no proxy, no tunnel, no translation of
 * addresses. Then the connection's other end is the client's own kernel, and what that does says
 * what has become of the process.
 */
import { readFileSync } from "node:fs";
import type { ClientHello } from "../../wire/hello.ts";
import type { Client } from "./client.ts";

/** An IPv4 address as a socket of both families has it. */
const MAPPED = /^\[::ffff:([\d.]+)\]/;

/** Compares what the client says of itself with what the kernel says of its connection's other end. */
export function isDirect(client: Client, { facts, from }: ClientHello): boolean {
  if (client.pid > 0) return numbersOf(client.pid).includes(facts.pid);
  if (client.from === undefined || from === undefined) return false;
  return client.from.replace(MAPPED, "$1") === from.replace(MAPPED, "$1");
}

/** The numbers of process `pid` in its PID namespaces, ours first. */
function numbersOf(pid: number): number[] {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const numbers = /^NSpid:(.*)$/m.exec(status)?.[1] ?? "";
    return [pid, ...numbers.split("\t").filter(Boolean).map(Number)];
  } catch {
    return [pid];
  }
}

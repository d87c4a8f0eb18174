/** A rexec-server that is about to come again: its keeper waits for it. */
import { readFileSync } from "node:fs";
import { type Address, formatAddress } from "../../transport/address.ts";
import { keeperName } from "../server/place.ts";

/** A socket that listens, in /proc/net/unix (unix_seq_show in net/unix/af_unix.c). */
const LISTENS = " 00010000 ";

/** Whether there is a keeper, on this machine, of a server that listened at `address` alone. */
export function isExpected(address: Address): boolean {
  if (address.kind !== "unix") return false;
  const name = `/${keeperName([formatAddress(address)])}`;
  try {
    const lines = readFileSync("/proc/net/unix", "latin1").split("\n");
    return lines.some((line) => line.endsWith(name) && line.includes(LISTENS));
  } catch {
    return false;
  }
}

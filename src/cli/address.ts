/** Addresses on the command line. */
import { VMADDR_CID_ANY } from "../sys/sockaddr.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { UsageError } from "./errors.ts";

/** Reads an address; what is none is a UsageError. */
export function readAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Reads the number of a machine, or `any`; what is neither is a UsageError. */
export function readCid(text: string): number {
  const cid = text === "any" ? VMADDR_CID_ANY : Number(text);
  if (/^(\d+|any)$/.test(text) && cid <= VMADDR_CID_ANY) return cid;
  throw new UsageError(`"${text}" is no number of a machine (CID)`);
}

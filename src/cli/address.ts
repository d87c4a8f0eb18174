/** Addresses on the command line. */
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

/** What a daemon's main thread does for identities: it checks them, and tells of changes. */
import { watch } from "node:fs";
import { type Address, formatAddress } from "../transport/address.ts";
import { Gate } from "./gate.ts";

/** How long changes may take to be whole, and how often expiry is looked at. */
const SETTLE_MS = 50;
const EXPIRY_LOOK_MS = 60_000;

/** Throws a sentence where clients could come by TCP that nobody knows. */
export function checkIdentities(
  addresses: readonly Address[],
  insecure: boolean,
  identities: string | undefined,
): void {
  const tcp = addresses.find(({ kind }) => kind === "tcp");
  if (tcp === undefined || insecure) return;
  if (identities === undefined) {
    throw new Error(
      `Cannot listen at ${formatAddress(tcp)} without authentication: enroll clients (qtfs server ` +
        "enroll NAME), add --insecure to allow it on a network you trust, or listen at a unix:// address",
    );
  }
  // Whatever is wrong with them is said at once.
  new Gate(identities);
}

/** Calls `tell` when who may come may have changed, from time to time too; the result ends that. */
export function watchIdentities(path: string, tell: () => void): () => void {
  let timer: Timer | undefined;
  // Several files change together.
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(tell, SETTLE_MS);
  };
  const watcher = watch(path, soon);
  const interval = setInterval(tell, EXPIRY_LOOK_MS).unref();
  return () => {
    watcher.close();
    clearInterval(interval);
    clearTimeout(timer);
  };
}

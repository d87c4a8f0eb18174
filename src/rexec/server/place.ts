/** Where a rexec-server and its keeper meet, and what the keeper is called. */
import { keeperSocket, socketName } from "../../keeper/place.ts";
import { CHANNEL_VERSION } from "./channel.ts";

/** A keeper's name: argv[0], by which the executable knows what it is (main.ts), and in ps(1). */
export const KEEPER_NAME = "qtfs-rexec-keeper";

/** The path of the socket of the keeper of a server that listens at `addresses` (keeper/place.ts). */
export function keeperPath(addresses: readonly string[]): string {
  return keeperSocket("rexec", CHANNEL_VERSION, addresses);
}

/** The name of that socket. */
export function keeperName(addresses: readonly string[]): string {
  return socketName(CHANNEL_VERSION, addresses);
}

/** The file of a keeper's programs (slots.ts), beside its socket. */
export function slotsPath(path: string): string {
  return path.replace(/\.sock$/, ".programs");
}

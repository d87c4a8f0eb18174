/**
 * The bridge's process, `qtfs-bridge`: it has the HOST's ends of all streams, the clients'
 * connections for them, and the sockets at which it listens for programs of the DPU. It is
 * given all that by the server and outlives it (keeper/kept.ts): streams go on, and what needs the server
 * waits for the next one.
 */
import { Loop } from "../../bridge/loop.ts";
import { machineFacts } from "../../info/facts.ts";
import { Keeper } from "../../keeper/kept.ts";
import { exitNow, raiseNoFileLimit, setProcessName } from "../../sys/process.ts";
import { enterOwnUmask } from "../umask.ts";
import { Bridge } from "./bridge.ts";
import { BRIDGE_NAME, type Tells, type Told } from "./messages.ts";

/** Serves until it has nothing to keep and no server; `path` is the name of its socket. */
export function serveBridge(path: string): never {
  setProcessName(BRIDGE_NAME);
  raiseNoFileLimit();
  // Names of sockets need a root of the thread's own (bridge/names.ts).
  enterOwnUmask();
  const loop = new Loop();
  const facts = machineFacts();
  new Keeper<Told, Tells>(loop, path, (keeper) => new Bridge({ loop, facts, keeper })).run();
  return exitNow(0);
}

/** What `qtfs server` and `qtfs rexec-server` have in common: options, and a life. */
import type { Control } from "../info/control.ts";
import type { Log } from "../info/log.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { onStopSignal, type StopSignal, tellServiceManager } from "./daemon.ts";
import { UsageError } from "./errors.ts";

/** The largest uid; the one above it means "none" (chown(2)). */
const UID_MAX = 0xffff_fffe;

/** A daemon that listens. */
export interface ListeningDaemon {
  /** Until it listens, where that takes time. */
  ready?: Promise<unknown>;
  /** Ends; `leave` keeps what the next one takes over, `end` nothing. */
  stop(how: "end" | "leave"): Promise<void>;
}

/** What a repeatable option was given as, or `otherwise` where it was not given. */
export function orElse<T>(given: T[] | undefined, otherwise: T[]): T[] {
  return given === undefined || given.length === 0 ? otherwise : given;
}

/** A word of --allow-uid; throws UsageError. */
export function readUid(text: string): number {
  const uid = Number(text);
  if (!/^\d+$/.test(text) || uid > UID_MAX) throw new UsageError(`"${text}" is no user id`);
  return uid;
}

/** Serves until a signal says to stop, then ends the process. */
export async function serveUntilStopped(
  daemon: ListeningDaemon,
  control: Control | undefined,
  listen: readonly Address[],
  log: Log,
): Promise<never> {
  const { promise: signal, resolve: stop } = Promise.withResolvers<StopSignal>();
  onStopSignal(stop);
  if (daemon.ready !== undefined) await Promise.race([daemon.ready, signal]);
  for (const address of listen) log.write("info", `Listening at ${formatAddress(address)}`);
  tellServiceManager("READY=1");
  const why = await signal;
  log.write("info", `Stopping: ${why}`);
  tellServiceManager("STOPPING=1");
  await daemon.stop(why === "SIGINT" ? "end" : "leave");
  control?.close();
  log.write("info", "Stopped");
  return process.exit(0);
}

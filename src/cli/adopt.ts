/** The process that takes over a mount from another. */
import { createLog, type LogLevel } from "../info/log.ts";
import { ownCommand } from "./background.ts";
import { sentenceOf } from "./errors.ts";
import type { Listener } from "./mount-daemon.ts";

/** Serves a mount whose process has died, or wants to be replaced. */
export async function adoptHere(source: string, target: string, level: LogLevel): Promise<number> {
  const { serveMount } = await import("./mount-daemon.ts");
  const { takeOverMount } = await import("../client/daemon.ts");
  const { KEPT } = await import("../client/keeper.ts");
  const log = createLog(level);
  const successor = successorWords(source, target, level);
  const command = [...ownCommand(), ...successor];
  const rest = { log: log.write, successor: command, twins: ownCommand() };
  const start = () => takeOverMount(KEPT, rest);
  const listener: Listener = {
    ready: () => {},
    failed: (error) => log.write("error", sentenceOf(error)),
  };
  return await serveMount({ source, target, start, successor }, log, listener);
}

/** Arguments of the process that takes over; it reads all but the level from the record. */
export function successorWords(source: string, target: string, level: LogLevel): string[] {
  return ["mount", "--adopt", "--log-level", level, "--", source, target];
}

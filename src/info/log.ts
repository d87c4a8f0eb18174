/**
 * A daemon's log: lines on stderr, and the last of them in memory for
 * `qtfs info --log`. The level can be set while it runs.
 */
import { writeSync } from "node:fs";
import { createConsola, LogLevels, type LogObject } from "consola/core";
import { printable } from "./printable.ts";

export type LogLevel = "error" | "warn" | "info" | "debug" | "trace";

/** From the fewest lines to the most. */
export const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug", "trace"];

/** Lines kept, and characters of a line: what a control socket's answer has room for. */
const LINES_MAX = 500;
const LINE_CHARS_MAX = 500;

export interface Log {
  level: LogLevel;
  /** Fits the `log` of ServerOptions and MountOptions. */
  readonly write: (level: LogLevel, text: string) => void;
  /** The lines kept, oldest first, each `TIME LEVEL TEXT`. */
  lines(): string[];
}

/** Whether `value` is a level. */
export function isLogLevel(value: unknown): value is LogLevel {
  return LOG_LEVELS.includes(value as LogLevel);
}

/** A log whose lines, ended by a newline, go to `write` as well. */
export function createLog(level: LogLevel, write: (line: string) => void = toStderr): Log {
  const kept: string[] = [];
  const report = ({ date, type, args }: LogObject) => {
    const line = `${date.toISOString()} ${type.padEnd(5)} ${printable(String(args[0]))}`;
    kept.push(line.slice(0, LINE_CHARS_MAX));
    if (kept.length > LINES_MAX) kept.shift();
    write(`${line}\n`);
  };
  // Its own reporters print info to stdout, which is for data; and it drops repeated lines.
  const consola = createConsola({
    level: LogLevels[level],
    throttle: 0,
    throttleMin: Number.POSITIVE_INFINITY,
    reporters: [{ log: report }],
  });
  let current = level;
  return {
    get level() {
      return current;
    },
    set level(wanted) {
      current = wanted;
      consola.level = LogLevels[wanted];
    },
    write: (severity, text) => consola[severity](text),
    lines: () => [...kept],
  };
}

/**
 * Not process.stderr: it holds a duplicate of a socket or pipe for ever, and a
 * daemon lets go of the one that it was started with. A reader that has gone,
 * or is full, costs the line and not the daemon.
 */
function toStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // It is still in memory.
  }
}

/** A keeper's line that is older was kept while there was no server. */
const LATE_MS = 1000;

/** A line that was not told when it was made says when that was. */
export function dated(text: string, atMs: number | undefined): string {
  const isLate = atMs !== undefined && Date.now() - atMs > LATE_MS;
  return isLate ? `${text} (at ${new Date(atMs).toISOString()})` : text;
}
